"""The commit that what `init` writes is pinned by."""

import json
import subprocess
from pathlib import Path

import pytest

from nix_autocache.errors import InputError
from nix_autocache.onboarding import own_commit

COMMIT = "a" * 40


def git(directory: Path, *words: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(["git", *identity, *words], cwd=directory, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def checkout(directory: Path, module: str) -> Path:
    path = directory / module
    path.parent.mkdir(parents=True)
    path.write_text("")
    git(directory, "init", "--quiet")
    git(directory, "add", module)
    git(directory, "commit", "--quiet", "--message", "one")
    return path


def test_a_checkout_has_its_own_commit(tmp_path: Path) -> None:
    module = checkout(tmp_path, "src/nix_autocache/onboarding/own_commit.py")
    assert own_commit.of_checkout(module) == git(tmp_path, "rev-parse", "HEAD")


def test_the_commit_of_somebody_elses_checkout_is_not_ours(tmp_path: Path) -> None:
    """Its environment is inside of it, even committed."""
    checkout(tmp_path, "project/README.md")
    untracked = tmp_path / "src/nix_autocache/onboarding/own_commit.py"
    untracked.parent.mkdir(parents=True)
    untracked.write_text("")
    assert own_commit.of_checkout(untracked) == ""
    vendored = tmp_path / "lib/site-packages/nix_autocache/onboarding/own_commit.py"
    vendored.parent.mkdir(parents=True)
    vendored.write_text("")
    git(tmp_path, "add", str(vendored))
    assert own_commit.of_checkout(vendored) == ""


@pytest.mark.parametrize(
    ("record", "commit"),
    [
        ({"url": "https://example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}, COMMIT),
        ({"url": "file:///src", "dir_info": {"editable": True}}, ""),
        (None, ""),
    ],
)
def test_pip_recorded_it(record: object, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "recorded-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: recorded\nVersion: 1.0\n")
    if record:
        (info / "direct_url.json").write_text(json.dumps(record))
    monkeypatch.syspath_prepend(tmp_path)
    assert own_commit.of_installation("recorded") == commit
    assert own_commit.of_installation("no-such-distribution") == ""


def test_the_flag_is_taken_and_without_any_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert own_commit.pinned(COMMIT) == COMMIT
    monkeypatch.setattr(own_commit, "__file__", str(tmp_path / "own_commit.py"))
    with pytest.raises(InputError, match="--action-ref"):
        own_commit.pinned("")
