"""One look at a cache: a listing of all that it holds, with what its narinfos say.

It is a listing of the whole cache and a GET for each narinfo, realisation and debug link that was not seen before with
this ETag. So the graph is what the narinfos say, whoever wrote them, and not what a job claims.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import Final

from ..caches.doomed_list import Keys
from ..caches.http1 import LARGEST
from ..caches.protocol import Collectable, Stored
from ..nix.store import HASH_PART
from ..system.dataclass import dataclass, field
from .archives import Archives
from .graph import Graph, number_of, short
from .reading import read_all
from .small_objects import DEBUG, REALISATIONS, parsed, target_of

ARCHIVES: Final = "nar/"
OWN: Final = "autocache/"
_NARINFO, _LISTING = ".narinfo", ".ls"

_NOTHING: Final = Keys()
Tell = Callable[[str], None]


@dataclass
class Known:
    """What is known of a cache from earlier looks: its graph, and what small objects belong to."""

    graph: Graph = field(default_factory=Graph)
    links: dict[str, tuple[int, str]] = field(default_factory=dict)


@dataclass
class Look:
    """What was there. `present`, `sizes` and `modified` have an item for each path of the graph, the last two in bytes
    and in seconds since 1970.

    Of `followers` each belongs to a path, by number, and goes before it; of `of_archives` to an archive. `own` are the
    objects below `autocache/`. `read` narinfos were new.
    """

    graph: Graph
    present: bytearray = field(default_factory=bytearray)
    sizes: array[int] = field(default_factory=lambda: array("Q"))
    modified: array[float] = field(default_factory=lambda: array("d"))
    archives: Archives = field(default_factory=Archives)
    followers: dict[int, list[str]] = field(default_factory=dict)
    of_archives: dict[str, list[str]] = field(default_factory=dict)
    own: list[Stored] = field(default_factory=list)
    others: int = 0
    bytes: int = 0
    read: int = 0

    def grow(self) -> None:
        """Give each path of the graph its items."""
        missing = len(self.graph) - len(self.present)
        self.present.extend(bytes(missing))
        self.sizes.extend([0] * missing)
        self.modified.extend([0.0] * missing)

    def paths(self) -> Iterator[int]:
        """The numbers of those that are there."""
        return (path for path, there in enumerate(self.present) if there)

    def closure(self, paths: Iterable[int]) -> list[int]:
        """Those that are there, of these paths and all that they refer to."""
        reached = bytearray(len(self.graph))
        self.graph.reach(paths, reached)
        return [path for path in compress(range(len(reached)), reached) if self.present[path]]

    def archive_of(self, path: int) -> int | None:
        """The place of a path's archive; None if it is not there."""
        return self.archives.place(self.graph.archives[path])

    def bytes_of(self, path: int) -> int:
        """Of the narinfo and the archive, which it may share."""
        place = self.archive_of(path)
        return self.sizes[path] + (0 if place is None else self.archives.sizes[place])


def look(cache: Collectable, known: Known, tell: Tell, announced: Keys = _NOTHING) -> Look:
    """List a cache, and read what is new in it; `known` learns that. Raises CacheError and CacheBusy.

    Names of archives are kept only of those that are on the list.
    """
    found = Look(known.graph, archives=Archives(announced))
    listing = _Listing(found, known.links)
    for count, stored in enumerate(cache.objects()):
        if count and count % 50_000 == 0:
            tell(f"{count:,} objects listed")
        listing.add(stored)
    found.archives.sort()
    found.grow()
    _read_narinfos(cache, found, listing.unread, tell)
    known.links = listing.links | _read_links(cache, listing.unread_links)
    for name, (_, target) in known.links.items():
        if name.startswith(DEBUG):
            found.of_archives.setdefault(target, []).append(name)
        elif (path := found.graph.hashes.find(number_of(target))) is not None:
            found.followers.setdefault(path, []).append(name)
    found.grow()
    return found


@dataclass
class _Listing:
    """Sorts objects by their names into `found`. `links` are those of the known ones that are still the same.

    `unread` has number and ETag of each new narinfo, in turn; `unread_links` name and ETag.
    """

    found: Look
    known_links: dict[str, tuple[int, str]]
    links: dict[str, tuple[int, str]] = field(default_factory=dict)
    unread: array[int] = field(default_factory=lambda: array("Q"))
    unread_links: list[tuple[str, int]] = field(default_factory=list)

    def add(self, stored: Stored) -> None:
        found, name = self.found, stored.name
        found.bytes += stored.size
        if name.startswith(ARCHIVES):
            found.archives.add(stored)
        elif name.startswith(OWN):
            found.own.append(stored)
        elif name.startswith((REALISATIONS, DEBUG)):
            self._add_link(stored)
        elif (path := _path(found.graph, name, _NARINFO)) is not None:
            self._add_narinfo(path, stored)
        elif (path := _path(found.graph, name, _LISTING)) is not None:
            found.followers.setdefault(path, []).append(name)
        else:
            found.others += 1

    def _add_narinfo(self, path: int, stored: Stored) -> None:
        found, etag = self.found, short(stored.etag)
        found.grow()
        found.present[path], found.sizes[path], found.modified[path] = 1, stored.size, stored.modified
        if stored.size > LARGEST:  # our pushers do not take it for a narinfo either
            found.graph.set(path, etag, 0, ())
        elif found.graph.etags[path] != etag:
            self.unread.extend((path, etag))

    def _add_link(self, stored: Stored) -> None:
        name, etag = stored.name, short(stored.etag)
        known = self.known_links.get(name)
        if known and known[0] == etag:
            self.links[name] = known
        elif stored.size <= LARGEST:
            self.unread_links.append((name, etag))


def _path(graph: Graph, name: str, ending: str) -> int | None:
    """The number of the path that a narinfo or a listing is of; None for any other name."""
    if len(name) != HASH_PART + len(ending) or not name.endswith(ending):
        return None
    try:
        return graph.add(number_of(name[:HASH_PART]))
    except ValueError:
        return None


def _read_narinfos(cache: Collectable, found: Look, unread: array[int], tell: Tell) -> None:
    graph = found.graph
    pairs = ((unread[at], unread[at + 1]) for at in range(0, len(unread), 2))
    names = ((f"{graph.hash_part(path)}{_NARINFO}", (path, etag)) for path, etag in pairs)
    for (path, etag), content in read_all(cache, names):
        found.read += 1
        if found.read % 10_000 == 0:
            tell(f"{found.read:,} of {len(unread) // 2:,} new narinfos read")
        if content is None:  # deleted since it was listed
            found.present[path] = 0
            continue
        archive, references = parsed(content)
        graph.set(path, etag, archive, references)


def _read_links(cache: Collectable, unread: Iterable[tuple[str, int]]) -> dict[str, tuple[int, str]]:
    read = read_all(cache, ((name, (name, etag)) for name, etag in unread))
    return {name: (etag, target) for (name, etag), content in read if (target := target_of(name, content or b""))}
