"""What `nix-autocache init` proposes on GitHub, run under act: two jobs, of which the second builds nothing."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from nix_autocache.onboarding.github.workflow_files import WORKFLOW
from nix_autocache.onboarding.repository import BRANCH
from tests.conftest import MakeMachine
from tests.harness import act, gh, github_api, graphs, nix, product, tools
from tests.harness.act import Workflow
from tests.harness.github_api import NAME, TOKEN
from tests.harness.machine import Bind
from tests.harness.roots import NEW

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROJECT = "/root/project"
ENTRIES = "/root/.cache/actcache"
EXISTING = """\
on: pull_request
jobs:
  build:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v4
      - uses: cachix/install-nix-action@v31
      - run: nix-build
"""


def test_what_init_proposes_builds_once(machine: MakeMachine, tmp_path: Path) -> None:
    (tmp_path / "entries").mkdir()
    files = proposed_by_init({"default.nix": graphs.CHAIN, ".github/workflows/ci.yml": EXISTING}, tmp_path)
    assert f"uses: nix-autocache/nix-autocache@{COMMIT}" in files[".github/workflows/ci.yml"]
    assert "install-nix-action" not in files[".github/workflows/ci.yml"]
    for built in (True, False):
        binds = [*product.binds(), *act.binds()[:2], Bind(tmp_path / "entries", ENTRIES, writable=True)]
        made = machine(NEW, binds)
        nix.without_daemon(made)
        made.sh(f"mkdir -p /root/.cache/act; ln -s {product.TOOL_CACHE} /root/.cache/act/tool_cache")
        act.git_project(made, PROJECT, files)
        ours = {f"nix-autocache/nix-autocache@{COMMIT}": tools.TARGET}
        arguments = ["--workflows", WORKFLOW]
        run = Workflow(PROJECT, arguments=arguments, env=product.environment(), cache=ENTRIES, actions=ours)
        done = act.act(made, run)
        assert (done.returncode, done.jobs) == (0, {"build": "success"}), done.text
        assert ("building '/nix/store/" in done.log) is built, done.log
        assert ("copying path '/nix/store/" in done.log) is not built, done.log


def proposed_by_init(files: Mapping[str, str], directory: Path) -> Mapping[str, str]:
    """The files of the branch after the real command line ran in a checkout of the repository, with the token of the
    real gh."""
    with github_api.in_thread(files) as server:
        subprocess.run(["git", "init", "-q", str(directory)], check=True)
        config = ["git", "-C", str(directory), "config", "remote.origin.url", f"{server.url}/{NAME}.git"]
        subprocess.run(config, check=True)
        host = server.url.removeprefix("http://")
        (directory / "hosts.yml").write_text(f'"{host}":\n  oauth_token: {TOKEN}\n  user: person\n')
        path = f"{gh.program().parent}{os.pathsep}{os.environ['PATH']}"
        environ = {**os.environ, "PATH": path, "GH_CONFIG_DIR": str(directory)}
        shown = initialised(directory, environ, "--dry-run")
        assert server.writes == []
        assert f"{server.url}/{NAME}/pull/1" in initialised(directory, environ, "--yes")
        proposed = server.git.files(BRANCH)
        assert proposed[WORKFLOW] in shown
        return proposed


def initialised(directory: Path, environ: Mapping[str, str], flag: str) -> str:
    """What the command line says."""
    command = [sys.executable, "-m", "nix_autocache", "init", "--host", "github", "--action-ref", COMMIT, flag]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return done.stdout
