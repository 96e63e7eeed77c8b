"""Finds and reads the packs whose indexes a job begins with.

For each branch that the job may read: the newest pack of all lanes, and the newest of its own, unless the first takes
account of that. All are looked up at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial

from ...errors import CacheError, one_line
from ...system import log
from ...system.dataclass import dataclass, replace
from . import trailer
from .background import all_of, together
from .index import DAY, Index, union
from .keys import Place, parse_pack
from .links import Links
from .service import ActionsService, Located


@dataclass(frozen=True)
class Found:
    """The index of the job's own branch, and that of the others. `unjoined` is the key of our lane's newest pack if the
    newest of all lanes takes no account of it, else empty."""

    own: Index
    foreign: Index
    unjoined: str


class Lookups:
    """`places` are the lanes that the job reads, its own first. Methods raise CacheBusy, and CacheError."""

    def __init__(self, service: ActionsService, links: Links, places: Sequence[Place]) -> None:
        self._service, self._links, self._places = service, links, places

    def begin(self) -> Found:
        """What can be read now."""
        prefixes = dict.fromkeys([*(each.of_all_lanes for each in self._places), *(each.own for each in self._places)])
        located = dict(zip(prefixes, all_of(together([partial(self._find, each) for each in prefixes])), strict=True))
        scopes = dict.fromkeys(place.lane.scope for place in self._places)
        (own, unjoined), *others = all_of(together([partial(self._index_of, located, scope) for scope in scopes]))
        return Found(own, union(index for index, _ in others), unjoined)

    def newest(self) -> Located | None:
        """The newest pack of the job's own branch."""
        return self._find(self._places[0].of_all_lanes)

    def read(self, pack: Located) -> Index:
        """The index of a pack; an empty one if it is wrong, or gone."""
        try:
            part = self._links.probe(pack)
            index = trailer.read(self._service, pack, part) if part else None
            return _until(int(time.time()), index) if index else Index()
        except CacheError as error:
            log.line(f"the Actions cache: {pack.key} is not read: {one_line(error)}")
            return Index()

    def _index_of(self, located: Mapping[str, Located | None], scope: str) -> tuple[Index, str]:
        """The index of a branch, and a pack that the newest takes no account of."""
        places = [place for place in self._places if place.lane.scope == scope]
        newest = located[places[0].of_all_lanes]
        index, unjoined = self.read(newest) if newest else Index(), ""
        for pack in filter(None, [located[place.own] for place in places]):
            if not index.has_taken(pack.key):
                index, unjoined = union([self.read(pack), index]), pack.key
        return index, unjoined

    def _find(self, prefix: str) -> Located | None:
        found = self._service.find([prefix])
        return found if found and found.key.startswith(prefix) and parse_pack(found.key) else None


def _until(now: int, index: Index) -> Index:
    """The index without dates of the future, which would be the newest for ever: clocks differ, and who can write the
    cache can write any date."""
    entries = {
        key: replace(each, made=min(each.made, now), used=min(each.used, now // DAY))
        for key, each in index.entries.items()
    }
    heads = {lane: replace(head, made=min(head.made, now)) for lane, head in index.heads.items()}
    return Index(entries, index.items, heads)
