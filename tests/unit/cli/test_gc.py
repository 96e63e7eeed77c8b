"""`gc` refuses in one line what cannot be collected, and shows what it did; by its command line, on a directory."""

import json
import os
from pathlib import Path

import pytest
from tests.harness.collected import LANE, add, archive, narinfo, record, save
from tests.harness.memory_store import MemoryStore

from nix_autocache.ci.lane import Lane
from nix_autocache.cli.main import main

OLD = 40 * 86400


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which 2 -> 1 are used, and 4 -> 3 are dead; all of 40 days ago."""
    monkeypatch.setenv("HOME", str(tmp_path))
    store = MemoryStore()
    add(store, 1)
    add(store, 2, [1])
    add(store, 3)
    add(store, 4, [3])
    record(store, [2])
    for name, content in store.contents.items():
        path = tmp_path / "cache" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        age(path, OLD)
    return tmp_path / "cache"


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def narinfos(cache: Path) -> set[str]:
    return {path.name for path in cache.glob("*.narinfo")}


def gc(cache: Path, *words: str) -> int:
    return main(["gc", "--cache", str(cache), *words])


def test_it_announces_and_the_next_run_deletes(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gc(cache, "--at-most", "90%") == 0
    assert len(narinfos(cache)) == 4
    assert gc(cache) == 0
    assert "run gc again then" in capsys.readouterr().out
    age(cache / "autocache/gc/doomed", 1000)
    assert gc(cache, "--json", "--at-most", "90%") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["deleted"]["paths"], found["doomed"]["archives"]) == (2, 2)
    assert narinfos(cache) == {narinfo(1), narinfo(2)}
    age(cache / "autocache/gc/doomed", 1000)
    assert gc(cache) == 0
    assert not (cache / archive(3)).exists()
    assert (cache / archive(1)).exists()


def test_it_shows_what_the_branches_keep(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 -> 1 of an unknown branch, 5 -> 1 of one with a name that would break a table."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    store = MemoryStore()
    add(store, 1)
    add(store, 5, [1])
    record(store, [5], Lane.of("github.com/acme/project", "refs/heads/a|<b>"))
    save(store, cache)
    named = ("--scope", "github.com/acme/project/a|<b>", "--at-most", "90%")
    assert gc(cache, *named, "--json", "--dry-run") == 0
    found = {each["scope"]: each for each in json.loads(capsys.readouterr().out)["scopes"]}
    size = {number: (cache / narinfo(number)).stat().st_size + 100 for number in (1, 2, 5)}
    assert found == {
        LANE.scope: {"scope": LANE.scope, "paths": 2, "bytes": size[1] + size[2]},
        "github.com/acme/project/a|<b>": {
            "scope": "github.com/acme/project/a|<b>",
            "paths": 2,
            "bytes": size[1] + size[5],
        },
    }
    assert gc(cache, *named) == 0
    log = capsys.readouterr().out
    assert f"kept, used by {LANE.scope}" in log
    assert "kept, used by github.com/acme/project/a|<b>  " in log
    summary = (tmp_path / "summary").read_text()
    assert "| kept, used by github.com/acme/project/a\\|&lt;b> | 2 |  |" in summary


def test_what_no_branch_keeps_any_more_is_not_counted(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gc(cache, "--keep-runs", "0", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["scopes"] == []


def test_too_much_at_once_fails(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gc(cache) == 1
    assert "--at-most" in capsys.readouterr().err


def test_roots_are_read_from_a_file(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = tmp_path / "paths"
    paths.write_text(f"# release\n/nix/store/{narinfo(4)[:32]}-path-4\n")
    assert gc(cache, "--roots", str(paths), "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["doomed"]["paths"] == 0


def test_the_size_decides_before_the_age(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gc(cache, "--keep-days", "365", "--max-size", "0.6KB", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["doomed"]["paths"] == 2


def test_a_size_that_cannot_be_reached_is_said(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """2 -> 1 are of the newest run of their job, and stay."""
    assert gc(cache, "--max-size", "0.1KB", "--dry-run", "--json") == 0
    assert 0 < json.loads(capsys.readouterr().out)["too_large"] < 1000
    assert gc(cache, "--max-size", "0.1KB", "--dry-run") == 0
    assert "more than --max-size are left" in capsys.readouterr().out
    assert gc(cache, "--max-size", "1GB", "--dry-run") == 0
    assert "--max-size" not in capsys.readouterr().out


def test_check_removes_what_is_open(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cache / narinfo(3)).unlink()
    (cache / archive(1)).unlink()
    assert gc(cache, "--check", "--upstream", "none", "--dry-run") == 0
    assert len(narinfos(cache)) == 3
    assert gc(cache, "--check", "--upstream", "none", "--at-most", "100%") == 0
    assert "its archive is gone" in capsys.readouterr().out
    assert narinfos(cache) == set()


def test_check_keeps_what_refers_to_another_cache_of_the_readers(cache: Path, tmp_path: Path) -> None:
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    (cache / narinfo(3)).rename(upstream / narinfo(3))
    assert gc(cache, "--check", "--upstream", str(upstream)) == 0
    assert narinfo(4) in narinfos(cache)


def test_check_does_not_empty_a_cache_whose_upstream_was_not_named(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cache / narinfo(1)).unlink()
    (cache / narinfo(3)).unlink()
    assert gc(cache, "--check", "--upstream", "none") == 1
    assert "nothing was removed: 60% of all bytes" in capsys.readouterr().err
    assert narinfos(cache) == {narinfo(2), narinfo(4)}


@pytest.mark.parametrize("url", ["../x", "nar/a#1", "nar/\x1b", "nar//../.."])
def test_check_goes_on_after_a_narinfo_whose_archive_cannot_be_asked_for(cache: Path, url: str) -> None:
    (cache / narinfo(5)).write_text(f"StorePath: /nix/store/x\nURL: {url}\n")
    assert gc(cache, "--check", "--upstream", "none") == 0


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("https://cache.example.org", "bucket or directory behind it"),
        ("gha://", "by itself"),
        ("ssh-ng://builder", "nix-collect-garbage"),
        ("s3://bucket/{week}", "lifecycle rule"),
    ],
)
def test_what_cannot_be_collected_is_refused(url: str, advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--cache", url]) == 2
    said = capsys.readouterr().err.strip()
    assert advice in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "words",
    [
        ["--keep-days", "x"],
        ["--keep-runs", "-1"],
        ["--max-size", "5 parsec"],
        ["--at-most", "101%"],
        ["--roots", "/nonexistent"],
        ["--upstream", "none"],
        ["--check", "--now"],
        ["--check", "--max-size", "1GB"],
    ],
)
def test_a_wrong_number_is_refused(words: list[str], cache: Path) -> None:
    assert gc(cache, *words) == 2
