"""The launchers that find a Python set the umask before Python compiles its first module."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness import tools

SOURCE = Path(__file__).parents[2] / "src"
ACTION = f"exec {tools.node()}/node {SOURCE}/action/main.mjs"
GITLAB = f". {SOURCE}/gitlab/tool.sh; nix_autocache setup"


def answering(directory: Path, answer: str) -> dict[str, str]:
    """The environment of a job whose Python is this shell script."""
    python = directory / "python"
    python.write_text(f"#!/bin/sh\n{answer}\n")
    python.chmod(0o755)
    job = directory / "nix-autocache-1"
    job.mkdir(mode=0o700)
    (job / "tool").write_text(f"nix_autocache_python='{python}'\nnix_autocache_source=/\nnix_autocache_tools=/tmp\n")
    return {**os.environ, "STATE_python": str(python), "TMPDIR": str(directory), "CI_JOB_ID": "1"}


@pytest.mark.parametrize("umask", ["0000", "0077"])
@pytest.mark.parametrize("script", [ACTION, GITLAB], ids=["action", "gitlab"])
def test_python_begins_with_a_umask_of_ours(script: str, umask: str, tmp_path: Path) -> None:
    env = answering(tmp_path, "umask")
    done = subprocess.run(
        ["sh", "-c", f"umask {umask}; {script}"], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "0022", done


def test_the_template_tells_the_program_its_version(tmp_path: Path) -> None:
    env = answering(tmp_path, 'echo "$nix_autocache_template"')
    command = ["sh", "-c", f"nix_autocache_template=1.2.3; {GITLAB}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1.2.3", done
