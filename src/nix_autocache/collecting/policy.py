"""Which paths and archives of a cache are dead: not used for so long, or too large together."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from ..caches import last_use
from ..caches.run_record import DAY
from ..system.dataclass import dataclass, field
from .graph import References
from .look import Look
from .policy_inputs import Policy
from .roots import Roots

_ALWAYS: Final = float("inf")
_SCOPES: Final = 500
YOUNG: Final = "younger than --keep-days"


@dataclass
class Verdict:
    """`kept` has a 1 for each path of the graph that is kept. `reasons` has paths and bytes by why they are kept; what
    several keep is counted at the first."""

    kept: bytearray
    reasons: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Dead:
    """What may be announced: numbers of paths, places of archives that no narinfo names, and the bytes that go with
    them in the end."""

    paths: list[int]
    archives: list[int]
    bytes: int


def judge(look: Look, roots: Roots, policy: Policy, now: float) -> Verdict:
    """What is kept. `now` is the time of the store."""
    graph = look.graph
    last = _last_uses(look, roots)
    oldest = now - policy.keep_days * DAY
    alive = bytearray(there and used >= oldest for there, used in zip(look.present, last, strict=True))
    if policy.max_size is not None:
        for path in _surplus(look, last, policy.max_size):
            alive[path] = 0
    verdict = Verdict(bytearray(len(graph)))
    for reason, numbers in roots.by_reason.items():
        of_reason = (path for each in numbers if alive[path := graph.add(each)] or last[path] == _ALWAYS)
        _keep(look, verdict, reason, of_reason)
    _keep(look, verdict, YOUNG, (path for path, each in enumerate(alive) if each))
    return verdict


def by_scope(look: Look, roots: Roots, kept: bytearray) -> dict[str, tuple[int, int]]:
    """Of what is kept, paths and bytes that the runs of each scope used; the largest first.

    What several used is counted for each. Of very many scopes, which anybody can make, those count that name most.
    """
    graph, found = look.graph, {}
    most = sorted(roots.by_scope.items(), key=lambda each: -len(each[1]))
    for scope, numbers in most[:_SCOPES]:
        paths = look.closure(path for each in numbers if kept[path := graph.add(each)])
        found[scope] = (len(paths), sum(map(look.bytes_of, paths)))
    return dict(sorted(found.items(), key=lambda each: -each[1][1]))


def dead(look: Look, kept: bytearray, grace: float, now: float) -> Dead:
    """What is not kept, and has not changed for `grace` seconds: a closure may be on its way."""
    archives = look.archives
    paths = [path for path in look.paths() if not kept[path] and look.modified[path] <= now - grace]
    unnamed = archives.unnamed(look.graph.archives[path] for path in look.paths())
    places = [place for place in unnamed if archives.modified[place] <= now - grace]
    size = sum(look.sizes[path] for path in paths)
    return Dead(paths, places, size + _archive_bytes(look, kept, paths, places))


def _archive_bytes(look: Look, kept: bytearray, paths: Sequence[int], places: Sequence[int]) -> int:
    """Of the archives of these paths, and at these places, without those that kept paths have, too."""
    going = bytearray(len(look.archives))
    for place in places:
        going[place] = 1
    for path in paths:
        if (place_of := look.archive_of(path)) is not None:
            going[place_of] = 1
    for path in look.paths():
        if kept[path] and (place_of := look.archive_of(path)) is not None:
            going[place_of] = 0
    return sum(look.archives.sizes[place] for place, goes in enumerate(going) if goes)


def _last_uses(look: Look, roots: Roots) -> array[float]:
    graph = look.graph
    used = look.modified[:]
    for hash_number, at in roots.used.items():
        path = graph.add(hash_number)
        used[path] = max(used[path], at)
    references = References(graph)
    return last_use.last_uses(last_use.referrers_first(references), references, used)


def _surplus(look: Look, last: array[float], limit: int) -> list[int]:
    """The paths to remove for the size, without those that are kept at any age."""
    archives = look.archives
    none = len(archives)  # for paths without one
    places = [none if (place := look.archive_of(path)) is None else place for path in range(len(look.graph))]
    stored = last_use.Stored(
        references=References(look.graph),
        used=last,
        sizes=look.sizes,
        archives=places,
        archive_sizes=[*archives.sizes, 0],
    )
    return [path for path in last_use.surplus(stored, limit) if last[path] != _ALWAYS]


def _keep(look: Look, verdict: Verdict, reason: str, paths: Iterable[int]) -> None:
    """Keep these paths and what they refer to, for this reason."""
    before = bytearray(verdict.kept)
    look.graph.reach(paths, verdict.kept)
    new = array("I", (path for path in look.paths() if verdict.kept[path] and not before[path]))
    verdict.reasons[reason] = (len(new), sum(map(look.bytes_of, new)))
