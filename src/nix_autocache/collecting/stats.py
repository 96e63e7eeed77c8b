"""What is in a cache, by project and branch: which run records need it, how large that is, and how old.

Scopes are hashes of names of branches. They are shown with their names where these are given.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..caches.protocol import Collectable
from ..caches.run_record import DAY, RunName
from ..system.dataclass import dataclass, field
from . import graph_file, table
from .graph import number_of
from .look import Known, Look, Tell, look
from .roots import run_records
from .scopes import named

_REST: Final = "in no run record"


@dataclass
class Scope:
    """`paths` and `bytes` are those of all that its runs used; `alone` are the bytes that no other scope uses.

    `last` is when its newest run was, in seconds since 1970, 0 if unknown.
    """

    name: str
    runs: int = 0
    last: float = 0.0
    paths: int = 0
    bytes: int = 0
    alone: int = 0
    roots: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Stats:
    """`scopes` are the largest first; the last is what is in no run record. `bytes` are all of the cache's."""

    scopes: list[Scope]
    paths: int
    archives: int
    bytes: int


def stats(cache: Collectable, names: Iterable[str], tell: Tell) -> Stats:
    """Look at the cache, and change nothing. `names` may be any that scopes have, as `github.com/acme/project/main`.

    Raises CacheError and CacheBusy.
    """
    found = look(cache, Known(*graph_file.read(cache)), tell)
    scopes = _scopes(cache, found, named(names), tell)
    users = array("H", bytes(2 * len(found.graph)))
    for scope in scopes:
        for path in _reached(found, scope.roots):
            users[path] = min(users[path] + 1, 2)
            scope.paths += 1
            scope.bytes += found.bytes_of(path)
    for scope in scopes:
        scope.alone = sum(found.bytes_of(path) for path in _reached(found, scope.roots) if users[path] == 1)
    rest = [path for path in found.paths() if not users[path]]
    size = sum(map(found.bytes_of, rest))
    scopes.sort(key=lambda each: -each.bytes)
    scopes.append(Scope(_REST, paths=len(rest), bytes=size, alone=size))
    return Stats(scopes, sum(found.present), len(found.archives), found.bytes)


def lines(found: Stats, now: float) -> Iterator[str]:
    """For people."""
    yield f"{found.paths:,} paths, {found.archives:,} archives, {table.size(found.bytes)}"
    yield f"{'':<40} {'runs':>6} {'last run':>10} {'paths':>9} {'bytes':>9} {'share':>6} {'only here':>9}"
    for each in found.scopes:
        days = f"{max(0.0, now - each.last) / DAY:.0f} d ago" if each.last else ""
        share = f"{each.bytes / max(1, found.bytes):.0%}"
        row = f"{each.runs:>6} {days:>10} {each.paths:>9,} {table.size(each.bytes):>9} {share:>6}"
        yield f"{each.name:<40} {row} {table.size(each.alone):>9}"


def as_json(found: Stats) -> dict[str, Any]:
    """For programs."""
    scopes = [
        {
            "scope": each.name,
            "runs": each.runs,
            "last": datetime.fromtimestamp(each.last, UTC).isoformat() if each.last else None,
            **{name: getattr(each, name) for name in ("paths", "bytes", "alone")},
        }
        for each in found.scopes
    ]
    return {"paths": found.paths, "archives": found.archives, "bytes": found.bytes, "scopes": scopes}


def _scopes(cache: Collectable, found: Look, known: Mapping[str, str], tell: Tell) -> list[Scope]:
    scopes: dict[str, Scope] = {}
    runs = {each.name: (run.lane.scope, each.modified) for each in found.own if (run := RunName.parse(each.name))}
    for name, record in run_records(cache, list(runs), tell):
        hashed, modified = runs[name]
        scope = scopes.setdefault(hashed, Scope(known.get(hashed, hashed)))
        scope.runs += 1
        scope.last = max(scope.last, modified)
        scope.roots |= {root for root in record.roots if number_of(root) in found.graph.hashes}
    return list(scopes.values())


def _reached(found: Look, roots: Iterable[str]) -> list[int]:
    """The paths that are there, of these hash parts and all that they refer to."""
    numbers = (found.graph.hashes.find(number_of(each)) for each in roots)
    return found.closure(each for each in numbers if each is not None)
