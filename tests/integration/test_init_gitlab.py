"""What `nix-autocache init` proposes on GitLab, run: two pipelines, of which the second builds nothing."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from nix_autocache.onboarding.gitlab.pipeline_files import PART
from nix_autocache.onboarding.repository import BRANCH
from tests.conftest import MakeMachine
from tests.harness import gitlab, gitlab_projects, graphs, tools
from tests.harness.gitlab import Outcome, Pipeline, Runner
from tests.harness.gitlab_api import NAME, TOKEN, GitLabApi, serving
from tests.harness.machine import Machine
from tests.harness.pipelines import PROJECT, environment, fresh, rewriting, serve, tools_of_its_own
from tests.harness.waiting import wait_for

EXISTING = "stages: [lint, build]\nlint:\n  stage: lint\n  script: [test -e default.nix]\n"


def test_what_init_proposes_builds_once(machine: MakeMachine, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    for built in (True, False):
        made = fresh(machine, tmp_path / "kept")
        commit = serve(made)
        proposed = proposed_by_init({"default.nix": graphs.CHAIN, ".gitlab-ci.yml": EXISTING}, commit, tmp_path)
        done = runs(made, proposed, commit)
        assert done.returncode == 0, done.text
        assert ("building '/nix/store/" in done.log) is built, done.log
        assert ("copying path '/nix/store/" in done.log) is not built, done.log


def proposed_by_init(files: Mapping[str, str], commit: str, directory: Path) -> Mapping[str, str]:
    """The files of the branch after the real command line ran in a checkout of the project."""
    with serving(GitLabApi(branches={"main": dict(files)})) as api:
        subprocess.run(["git", "init", "-q", str(directory)], check=True)
        config = ["git", "-C", str(directory), "config", "remote.origin.url", f"{api.url}/{NAME}.git"]
        subprocess.run(config, check=True)
        command = [sys.executable, "-m", "nix_autocache", "init", "--host", "gitlab", "--action-ref", commit, "--yes"]
        environ = {**os.environ, **gitlab_projects.token(api)}
        done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{api.url}/{NAME}/-/merge_requests/1" in done.stdout
        assert TOKEN not in done.stdout + done.stderr
        return api.branches[BRANCH]


def runs(machine: Machine, files: Mapping[str, str], commit: str) -> Outcome:
    """The job that init wrote, on a runner that keeps caches. The template comes from this machine."""
    home = f"https://gitlab.com/nix-autocache/nix-autocache/-/raw/{commit}"
    here = "http://127.0.0.1:8000"
    assert home in files[PART]
    gitlab.git_project(machine, PROJECT, {**files, PART: files[PART].replace(home, here)})
    env = {**environment(), **rewriting(), "RUNNER_TOOL_CACHE": tools_of_its_own(machine)}
    with machine.start(["python3", "-m", "http.server", "--directory", tools.TARGET, "8000"]):
        wait_for(lambda: bool(machine.sh("grep ':1F40 ' /proc/net/tcp || true").stdout), "the server")
        return Runner(machine).run(Pipeline(PROJECT, env=env), "nix-cache")
