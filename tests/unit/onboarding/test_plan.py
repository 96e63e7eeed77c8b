"""The plan of an `init` pins this program by a commit, and begins from what people have changed in the open request."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nix_autocache.cli.init import init
from nix_autocache.cli.verbs import parse
from nix_autocache.errors import InputError
from nix_autocache.onboarding import plan
from nix_autocache.onboarding.github.workflow_files import WORKFLOW
from nix_autocache.onboarding.repository import BRANCH
from nix_autocache.onboarding.steps import Now
from nix_autocache.system import version
from tests.harness import github_api
from tests.harness.github_api import GitHub
from tests.harness.memory_repository import options

FLAG, OWN = "a" * 40, "b" * 40


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    with github_api.in_thread({"default.nix": "{ }"}) as server:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        remote = f"{server.url}/{github_api.NAME}"
        subprocess.run(["git", "-C", str(tmp_path), "config", "remote.origin.url", remote], check=True)
        yield server


def made(checkout: Path, **flags: object) -> plan.Plan:
    environ = {"GH_ENTERPRISE_TOKEN": github_api.TOKEN}
    return plan.make(options(host="github", **flags), checkout, environ)


@pytest.mark.usefixtures("github")
def test_the_flag_comes_before_the_programs_own_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(version, "commit", lambda: OWN)
    assert f"@{FLAG}\n" in made(tmp_path, action_ref=FLAG).proposal.files[WORKFLOW]
    assert f"@{OWN}\n" in made(tmp_path).proposal.files[WORKFLOW]


@pytest.mark.usefixtures("github")
def test_without_any_it_is_asked_for_unless_all_is_undone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(version, "commit", lambda: "")
    with pytest.raises(InputError, match="--action-ref"):
        made(tmp_path)
    assert len(made(tmp_path, undo=True).steps) == 1


@pytest.mark.usefixtures("github")
def test_an_interruption_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is no queue that a flush would find."""

    class Person:
        def isatty(self) -> bool:
            return True

        def readline(self, *_: int) -> str:
            raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", Person())
    flags = parse(["init", "--host", "github", "--action-ref", FLAG])
    context = SimpleNamespace(environ={"GH_ENTERPRISE_TOKEN": github_api.TOKEN})
    with pytest.raises(KeyboardInterrupt, match="run the same again, it goes on where it stopped"):
        init(cast("Any", context), flags)


def test_what_people_change_in_the_open_request_stays(github: GitHub, tmp_path: Path) -> None:
    """The text of the request asks them to: the last line is their build."""
    other = ".github/workflows/ci.yml"
    steps = "jobs:\n  build:\n    steps:\n      - uses: cachix/install-nix-action@v31\n      - run: nix-build\n"
    github.git.push({other: steps})
    made(tmp_path, action_ref=FLAG).steps[-1].apply()
    files = {path: text.replace("nix-build", "nix-build -A all") for path, text in github.git.files(BRANCH).items()}
    assert "nix-build -A all" in files[other]
    github.git.push(files, BRANCH)
    again = made(tmp_path, action_ref=FLAG)
    assert again.steps[-1].look().now is Now.RIGHT
    assert f"`{other}`: `cachix/install-nix-action`" in again.proposal.body
    made(tmp_path, action_ref=OWN).steps[-1].apply()
    text = github.git.files(BRANCH)[WORKFLOW]
    assert f"@{OWN}\n" in text
    assert "nix-build -A all" in text
    assert github.git.files(BRANCH)[other] == files[other]
