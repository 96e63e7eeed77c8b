"""A cache that is too large loses its least recently used paths, and stays closed."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from nix_autocache.nix.narinfo import NarFile
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.uploader.embedded_cache import CachedNarinfo
from nix_autocache.uploader.trim import _valid, surplus, trim
from tests.harness.samples import Nothing, narinfo


def info(name: str, used: float, *references: str, archive: str = "") -> CachedNarinfo:
    referred = tuple(StorePath(reference) for reference in references)
    return CachedNarinfo(
        file=Path(name),
        info=PathInfo(StorePath(name), "", referred, "sha256:0", 1, "", ()),
        archive=NarFile(archive or f"nar/{name}", "none", "0", 9),
        size=1,
        used=used,
    )


def gone(infos: list[CachedNarinfo], limit: int) -> list[str]:
    archives = {each.archive.url: 9 for each in infos}
    return [str(each.path) for each in surplus(infos, archives, limit)]


def test_nothing_goes_below_the_limit() -> None:
    assert gone([info("a", 1), info("b", 2)], 20) == []


def test_what_was_not_used_for_longest_goes_first_and_no_more_than_must() -> None:
    assert gone([info("new", 3), info("old", 1), info("middle", 2)], 20) == ["old"]
    assert gone([info("new", 3), info("old", 1), info("middle", 2)], 10) == ["old", "middle"]


def test_what_is_referred_to_counts_as_used_with_its_referrer() -> None:
    infos = [info("library", 1), info("program", 5, "library"), info("other", 3)]
    assert gone(infos, 20) == ["other"]


@pytest.mark.parametrize("limit", range(0, 60, 10))
def test_referrers_go_before_what_they_refer_to(limit: int) -> None:
    infos = [
        info("self", 2, "self"), info("d", 1, "c", "elsewhere"), info("c", 1, "b"), info("b", 1, "a"), info("a", 1),
    ]  # fmt: skip
    left = {str(each.path) for each in infos} - set(gone(infos, limit))
    for each in infos:
        if each.path in left:
            assert set(each.info.references) - {"elsewhere"} <= left


def test_an_archive_that_two_share_is_freed_with_the_second() -> None:
    infos = [info("a", 1, archive="nar/x"), info("b", 2, archive="nar/x"), info("c", 3)]
    assert gone(infos, 12) == ["a", "b"]


def trimmed(cache: Path, limit: int = 0) -> int:
    return trim(cache, limit, Nothing(), time.time())


def test_links_that_others_packed_are_removed_and_never_followed(tmp_path: Path) -> None:
    cache, foreign = tmp_path / "kept/cache", tmp_path / "foreign"
    mine = narinfo(cache, "a")
    foreign.mkdir()
    theirs = [foreign / name for name in ("file.narinfo", "x.nar", f"{'b' * 32}.narinfo")]
    for file in theirs:
        file.write_bytes(mine.read_bytes())
    (cache / "link.narinfo").symlink_to(theirs[0])
    (cache / f"{'b' * 32}.narinfo").symlink_to(theirs[2])
    (cache / "nar/link.nar").symlink_to(theirs[1])
    (cache / "nar/directory").symlink_to(foreign)
    (cache / "directory.narinfo").mkdir()
    assert trimmed(cache) == 1
    assert all(file.exists() for file in theirs)
    assert sorted(path.name for path in cache.rglob("*")) == ["directory.narinfo", "nar"]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "9" * 5000, '{"id": 1e999}', "null", '{"id": {}, "outPath": []}', "\udcff"]
)
def test_what_is_no_realisation_is_removed(tmp_path: Path, text: str) -> None:
    narinfo(tmp_path, "a")
    (tmp_path / "realisations").mkdir()
    bad = tmp_path / f"realisations/sha256:{'0' * 64}!out.doi"
    bad.write_text(text, errors="surrogateescape")
    trimmed(tmp_path)
    assert not bad.exists()


@pytest.mark.parametrize("part", ["nar", "realisations", "", ".."])
def test_a_directory_that_is_a_link_is_not_entered(tmp_path: Path, part: str) -> None:
    foreign = tmp_path / "foreign/cache"
    narinfo(foreign, "a")
    (foreign / "realisations").mkdir()
    realised = foreign / f"realisations/sha256:{'0' * 64}!out.doi"
    realised.write_text(json.dumps({"id": realised.name.removesuffix(".doi"), "outPath": f"{'b' * 32}-b"}))
    before = sorted(foreign.rglob("*"))
    cache = tmp_path / "kept/cache"
    if part == "..":
        cache.parent.symlink_to(foreign.parent)
    elif part:
        narinfo(cache, "b")
        shutil.rmtree(cache / part, ignore_errors=True)
        (cache / part).symlink_to(foreign / part)
    else:
        cache.parent.mkdir()
        cache.symlink_to(foreign)
    trimmed(cache)
    assert sorted(foreign.rglob("*")) == before


def test_narinfos_of_others_end_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "kept/cache"
    whole = narinfo(cache, "a")
    text = whole.read_text()
    odd = [
        b"",
        b"\xff\xfe",
        bytes(2 << 20),
        text.encode(),  # of another path
        text.replace("a" * 32, "c" * 32).replace("nar/a.nar", "../../../etc/passwd").encode(),
        text.replace("a" * 32, "c" * 32).replace("NarSize: 100", "NarSize: many").encode(),
    ]
    for number, content in enumerate(odd):
        (cache / f"{'c' * 32}.narinfo").write_bytes(content)
        assert trimmed(cache, 10_000) == 0, number
        assert list(cache.glob("*.narinfo")) == [whole]


def test_what_refers_to_itself_by_way_of_others_goes(tmp_path: Path) -> None:
    cache = tmp_path / "kept/cache"
    for letter, references in {"a": "b", "b": "c", "c": "a", "d": "a", "f": "g", "g": "g", "h": ""}.items():
        narinfo(cache, letter, *references)
    assert trimmed(cache, 10_000) == 0
    assert sorted(path.name[0] for path in cache.glob("*.narinfo")) == ["f", "g", "h"]
    assert sorted(path.name for path in (cache / "nar").iterdir()) == ["f.nar", "g.nar", "h.nar"]


def test_what_claims_to_be_used_in_the_future_is_no_newer_than_now(tmp_path: Path) -> None:
    cache = tmp_path / "kept/cache"
    narinfo(cache, "a")
    os.utime(narinfo(cache, "b"), (2**40, 2**40))
    os.utime(narinfo(cache, "c"), (1, 1))
    found = {each.path.name: each.used for each in _valid(cache, "/nix/store")}
    assert max(found.values()) <= time.time()
    assert min(found, key=lambda name: found[name]) == "c"
