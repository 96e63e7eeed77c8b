"""The commit of this program: from a file that whoever packs it fills, or from its checkout."""

import re
import subprocess
from pathlib import Path

import pytest

from nix_autocache import __version__
from nix_autocache.system import version

ROOT = Path(__file__).parents[3]
COMMIT = "0123456789abcdef" * 2 + "01234567"


def git(directory: Path, *words: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(["git", *identity, *words], cwd=directory, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def package(directory: Path, place: str = "src/nix_autocache", text: str = "$Format:%H$\n") -> Path:
    made = directory / place
    made.mkdir(parents=True)
    (made / "__init__.py").write_text("")
    (made / "commit.txt").write_text(text)
    return made


def committed(directory: Path) -> str:
    git(directory, "init", "--quiet")
    git(directory, "add", ".")
    git(directory, "commit", "--quiet", "--message", "one")
    return git(directory, "rev-parse", "HEAD")


def test_a_checkout_has_its_own_commit(tmp_path: Path) -> None:
    made = package(tmp_path)
    commit = committed(tmp_path)
    assert version.commit(made) == commit
    assert version.recorded_commit(made) == ""
    assert version.described(made) == f"{__version__} ({commit[:12]})"


def test_an_archive_of_git_has_the_commit_as_github_serves_it(tmp_path: Path) -> None:
    (tmp_path / ".gitattributes").write_bytes((ROOT / ".gitattributes").read_bytes())
    package(tmp_path, text=(ROOT / "src/nix_autocache/commit.txt").read_text())
    commit = committed(tmp_path)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=tmp_path, check=True, capture_output=True).stdout
    (tmp_path / "served").mkdir()
    subprocess.run(["tar", "-x", "-C", "served"], cwd=tmp_path, input=archive, check=True)
    assert version.recorded_commit(tmp_path / "served/src/nix_autocache") == commit


def test_what_was_recorded_comes_before_the_checkout_around_it(tmp_path: Path) -> None:
    made = package(tmp_path, text=f"{COMMIT}\n")
    committed(tmp_path)
    assert version.commit(made) == COMMIT


@pytest.mark.parametrize("place", ["src/nix_autocache", "lib/site-packages/nix_autocache"])
def test_the_commit_of_somebody_elses_checkout_is_not_ours(place: str, tmp_path: Path) -> None:
    """An environment is inside of it: not tracked in one, committed in the other."""
    (tmp_path / "README.md").write_text("")
    if place.startswith("src"):
        committed(tmp_path)
        made = package(tmp_path, place)
    else:
        made = package(tmp_path, place)
        committed(tmp_path)
    assert version.commit(made) == ""
    assert version.described(made) == __version__


@pytest.mark.parametrize("text", ["", "$Format:%H$\n", "abcdef\n", "é" * 40, f"{COMMIT} rm -rf\n", COMMIT.upper()])
def test_only_a_whole_commit_is_one(text: str, tmp_path: Path) -> None:
    assert version.recorded_commit(package(tmp_path, text=text)) == ""


def test_a_package_without_the_file_has_no_commit(tmp_path: Path) -> None:
    assert version.commit(tmp_path) == ""


def test_servers_are_told_the_version_and_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "recorded_commit", lambda: COMMIT)
    assert version.user_agent().startswith(f"nix-autocache/{__version__}+{COMMIT[:12]} (+https://")
    monkeypatch.setattr(version, "recorded_commit", lambda: "")
    assert re.fullmatch(r"nix-autocache/[\d.]+ \(\+https://\S+\)", version.user_agent())
