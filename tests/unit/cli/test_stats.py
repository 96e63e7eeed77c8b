"""`stats` says what each branch uses, and names those that are known."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.harness.collected import add, narinfo, record
from tests.harness.memory_store import MemoryStore

from nix_autocache.ci.lane import Lane
from nix_autocache.cli.main import main

MAIN = Lane.of("github.com/acme/project", "refs/heads/main")
SECRET = Lane.of("github.com/acme/project", "refs/heads/secret")


@pytest.fixture
def store() -> MemoryStore:
    """2 -> 1 of the main branch, 3 -> 1 of a secret one, and 4."""
    store = MemoryStore()
    for number, references in ((1, []), (2, [1]), (3, [1]), (4, [])):
        add(store, number, references)
    record(store, [2], MAIN)
    record(store, [3], SECRET)
    return store


def test_stats_say_what_each_branch_uses_and_name_those_that_are_known(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stats", "--json", "--scope", "github.com/acme/project/main"]) == 0
    found = json.loads(capsys.readouterr().out)
    named = {each["scope"]: each for each in found["scopes"]}
    sizes = {number: (cache / narinfo(number)).stat().st_size + 100 for number in (1, 2, 3, 4)}
    main_, secret, rest = (named[each] for each in ("github.com/acme/project/main", SECRET.scope, "in no run record"))
    assert (main_["runs"], main_["paths"], main_["bytes"], main_["alone"]) == (1, 2, sizes[1] + sizes[2], sizes[2])
    assert (secret["paths"], secret["alone"]) == (2, sizes[3])
    assert (rest["paths"], rest["bytes"], rest["last"]) == (1, sizes[4], None)
    assert found["paths"] == found["archives"] == 4


def test_stats_know_the_branches_of_the_repository_here(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    for words in (
        ["init", "-q", "-b", "secret", "here"],
        ["-C", "here", "-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x", "--allow-empty"],
        ["-C", "here", "remote", "add", "origin", "https://github.com/acme/project.git"],
        ["-C", "here", "config", f"url.{tmp_path}/here.insteadOf", "https://github.com/acme/project.git"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, env=environ, check=True)
    os.chdir(tmp_path / "here")
    assert main(["stats"]) == 0
    out = capsys.readouterr().out
    assert "github.com/acme/project/refs/heads/secret" in out
    assert MAIN.scope in out
