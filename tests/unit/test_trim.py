"""What goes from a cache that is too large: least recent use first, and the rest stays closed."""

from pathlib import Path

import pytest

from nix_autocache.nix.store import StorePath
from nix_autocache.uploader.trim import Kept, surplus


def info(name: str, used: float, *references: str, archive: str = "") -> Kept:
    return Kept(
        file=Path(name),
        path=StorePath(name),
        archive=archive or f"nar/{name}",
        references=tuple(StorePath(reference) for reference in references),
        size=1,
        used=used,
    )


def gone(infos: list[Kept], limit: int) -> list[str]:
    archives = {kept.archive: 9 for kept in infos}
    return [str(kept.path) for kept in surplus(infos, archives, limit)]


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
    left = {str(kept.path) for kept in infos} - set(gone(infos, limit))
    for kept in infos:
        if kept.path in left:
            assert set(kept.references) - {"elsewhere"} <= left


def test_an_archive_that_two_share_is_freed_with_the_second() -> None:
    infos = [info("a", 1, archive="nar/x"), info("b", 2, archive="nar/x"), info("c", 3)]
    assert gone(infos, 12) == ["a", "b"]
