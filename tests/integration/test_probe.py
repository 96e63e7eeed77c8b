"""The workflow that measures GitHub's cache: its program, on our emulator of the service."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.harness import actions_cache
from tests.harness.actions_cache import READ, Actions
from tests.harness.tools import PROJECT, node

WORKFLOW = PROJECT / ".github/workflows/probe.yml"
MAIN = PROJECT / ".github/actions/probe/main.mjs"


def measures(job: str) -> str:
    """What a job of the workflow measures."""
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"][job]["steps"]
    return str(steps[-1]["with"]["measures"])


def probed(tmp_path: Path, wanted: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The table in the summary after the action's step."""
    summary = tmp_path / "summary"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environ}
    env |= {"INPUT_MEASURES": wanted, "GITHUB_STEP_SUMMARY": str(summary)}
    command = [str(node() / "node"), str(MAIN)]
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sig=" not in done.stdout + done.stderr + summary.read_text()
    lines = summary.read_text().splitlines()[2:]
    return dict(re.fullmatch(r"\| (.+) \| (.+) \|", line).groups() for line in lines)  # type: ignore[union-attr,misc]


def test_each_job_installs_the_packages_that_the_program_imports() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    for job in jobs.values():
        assert any("requirements/gha.txt" in step.get("run", "") for step in job["steps"])


def test_the_workflow_measures_what_only_github_shows(actions: Actions, tmp_path: Path) -> None:
    actions.control(creations=150, retry_after=40)
    found = probed(tmp_path, measures("service"), actions.env())
    assert not [row for row in found.items() if "failed" in row[0]]
    assert found["scope refs/heads/main"] == "read and write"
    assert found["a new entry"] == "can be made"
    assert found["a key that was reserved before"] == "is taken"
    assert found["a reservation as an entry"] == "is not found"
    assert found["then the newest of its prefix"] == "5 of 5 times"
    assert found["download, 8 ranges at once"].endswith(" MB/s")
    assert 500 < int(found["a link to read is valid for"].partition(" ")[0]) <= 600
    assert found["entries of runs in the last 30 days"] == "none"
    cold, warm = (found[f"a {state} job of 300 paths"].partition(";")[0] for state in ("cold", "warm"))
    assert sum(map(int, re.findall(r"\d+", cold))) <= 7
    assert sum(map(int, re.findall(r"\d+", warm))) <= 3
    assert "1 creations" in cold
    assert "creations" not in warm
    assert "then 40 s" in found["reservations until a pause"]


def test_a_token_that_only_reads_is_a_row_and_no_failure(actions: Actions, tmp_path: Path) -> None:
    actions.control(**actions_cache.START)
    found = probed(tmp_path, measures("token"), actions.env({"refs/pull/7/merge": READ, "refs/heads/main": READ}))
    assert (found["scope refs/pull/7/merge"], found["scope refs/heads/main"]) == ("read", "read")
    assert "cannot be written by this job" in found["token failed"]
