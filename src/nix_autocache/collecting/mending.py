"""Removes narinfos that are not closed: their archive is gone, or what they refer to.

Our pushers leave none. Others do not keep the protocol: `nix copy` may publish a narinfo that refers to what is being
deleted. What it refers to may also be in another cache that readers have, as cache.nixos.org, so that is asked. A
listing is not of one instant, so each absence is asked for again before anything is removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from ..caches import last_use
from ..caches.protocol import ObjectCache
from .graph import References
from .look import Look
from .reading import read_all, read_each
from .report import Report
from .small_objects import archive_name, field_of
from .sweep import Sweeper

Elsewhere = Callable[[str], bool]
"""True if readers have the narinfo of this name from another cache. Raises CacheError and CacheBusy."""

_ROUNDS: Final = 3
_PLAIN: Final = re.compile(r"(?!\.)[0-9A-Za-z._=+/-]{1,300}")  # stores refuse other names, such as ../x, with an error


def after_sweep(look_again: Callable[[], Look], gone: set[int], sweeper: Sweeper, report: Report) -> Look:
    """Look again, and remove what refers to the paths that are `gone`, until nothing does. Returns the last look."""
    found = look_again()
    for _ in range(_ROUNDS):
        missing = {each for path in found.paths() for each in found.graph.refers_to(path) if each in gone}
        missing = {each for each in missing if not found.present[each] and not _exists(sweeper.cache, found, each)}
        if not missing:
            break
        opened = dict.fromkeys(_referring(found, missing), "it refers to what was just deleted")
        _remove(found, opened, sweeper, report)
        gone = gone | opened.keys()
        del found  # the next look has as much again
        found = look_again()
    return found


def mend(
    found: Look, cache: ObjectCache, elsewhere: Elsewhere, sweeper: Sweeper | None, at_most: float, report: Report
) -> None:
    """Remove what is not closed, referrers first; without a sweeper only report it.

    More than the share `at_most` of all bytes is not removed: readers may have another cache that `elsewhere` omits.
    """
    opened = dict.fromkeys(_without_archive(found, cache), "its archive is gone")
    absent = {each for path in found.paths() for each in found.graph.refers_to(path) if not found.present[each]}
    numbers = {_name(found, each): each for each in absent}
    asked = read_each(list(numbers), lambda name: cache.exists(name) or elsewhere(name))
    missing = {numbers[name] for name, there in asked if not there}
    for path in found.paths():
        if lacks := [each for each in found.graph.refers_to(path) if each in missing]:
            opened.setdefault(path, f"it refers to {found.graph.hash_part(lacks[0])}, which is gone")
    for path in _referring(found, opened.keys()):
        opened.setdefault(path, "it refers to one that is not closed")
    share = sum(map(found.bytes_of, opened)) / max(1, found.bytes)
    if share > at_most:
        report.refused = (
            f"{share:.0%} of all bytes would be removed, more than --at-most {at_most:.0%}; see with --dry-run whether "
            "--upstream names all caches that readers have, then give a larger --at-most once"
        )
    if not sweeper:
        report.mended |= {_name(found, path): why for path, why in opened.items()}
    elif not report.refused:
        _remove(found, opened, sweeper, report)


def _remove(found: Look, opened: dict[int, str], sweeper: Sweeper, report: Report) -> None:
    swept = sweeper.sweep(found, opened, [])
    report.failed |= swept.failed
    report.mended |= {_name(found, path): opened[path] for path in swept.paths}


def _without_archive(found: Look, cache: ObjectCache) -> Iterable[int]:
    doubtful = [path for path in found.paths() if found.graph.archives[path] and found.archive_of(path) is None]
    for path, content in read_all(cache, ((_name(found, path), path) for path in doubtful)):
        name = archive_name(field_of(content or b"", "URL"))
        if _PLAIN.fullmatch(name) and not cache.exists(name):
            yield path


def _referring(found: Look, missing: Iterable[int]) -> list[int]:
    """The paths that are there and refer to one of these, or to one that does."""
    reached = bytearray(len(found.graph))
    for each in missing:
        reached[each] = 1
    references, referring = References(found.graph), []
    for path in reversed(last_use.referrers_first(references)):
        if found.present[path] and not reached[path] and any(reached[each] for each in references[path]):
            reached[path] = 1
            referring.append(path)
    return referring


def _exists(cache: ObjectCache, found: Look, path: int) -> bool:
    return cache.exists(_name(found, path))


def _name(found: Look, path: int) -> str:
    return f"{found.graph.hash_part(path)}.narinfo"
