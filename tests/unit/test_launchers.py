"""The launchers that find a Python set the umask before Python compiles its first module."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness import tools

SOURCE = Path(__file__).parents[2] / "src"
ACTION = f"exec {tools.node()}/node {SOURCE}/action/main.mjs"
GITLAB = f". {SOURCE}/gitlab/tool.sh; nix_autocache setup"


@pytest.mark.parametrize("umask", ["0000", "0077"])
@pytest.mark.parametrize("script", [ACTION, GITLAB], ids=["action", "gitlab"])
def test_python_begins_with_a_umask_of_ours(script: str, umask: str, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\numask\n")
    python.chmod(0o755)
    job = tmp_path / "nix-autocache-1"
    job.mkdir(mode=0o700)
    (job / "tool").write_text(f"nix_autocache_python='{python}'\nnix_autocache_source=/\nnix_autocache_tools=/tmp\n")
    env = {**os.environ, "STATE_python": str(python), "TMPDIR": str(tmp_path), "CI_JOB_ID": "1"}
    done = subprocess.run(
        ["sh", "-c", f"umask {umask}; {script}"], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "0022", done
