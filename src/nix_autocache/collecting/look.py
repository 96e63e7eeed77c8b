"""One look at a cache: a listing of all that it holds, with what its narinfos say.

It is a listing of the whole cache and a GET for each narinfo, realisation and debug link that was not seen before with
this ETag. So the graph is what the narinfos say, whoever wrote them, and not what a job claims.
"""

from __future__ import annotations

import posixpath
import re
import threading
import urllib.parse
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

from ..caches.doomed_list import Keys
from ..caches.http1 import LARGEST
from ..caches.protocol import Collectable, ObjectCache, Stored
from ..caches.retry import Gate, retrying
from ..nix.store import HASH_PART
from ..system import flat_json
from ..uploader import presence
from .archives import Archives
from .graph import Graph, number_of, short

ARCHIVES: Final = "nar/"
OWN: Final = "autocache/"
_NARINFO, _LISTING = ".narinfo", ".ls"
_REALISATIONS, _DEBUG = "realisations/", "debuginfo/"
_AT_ONCE: Final = 32  # objects that are read
_LONGEST: Final = 300.0  # seconds that a busy cache is asked for one object
_BASE: Final = re.compile(rf"[0-9abcdfghijklmnpqrsvwxyz]{{{HASH_PART}}}-")

Key = TypeVar("Key")
_NOTHING: Final = Keys()
Tell = Callable[[str], None]


class Store(ObjectCache, Collectable, Protocol):
    """A cache that can be collected."""


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

    def archive_of(self, path: int) -> int | None:
        """The place of a path's archive; None if it is not there."""
        return self.archives.place(self.graph.archives[path])

    def bytes_of(self, path: int) -> int:
        """Of the narinfo and the archive, which it may share."""
        place = self.archive_of(path)
        return self.sizes[path] + (0 if place is None else self.archives.sizes[place])


def look(cache: Store, known: Known, tell: Tell, announced: Keys = _NOTHING) -> Look:
    """List a cache, and read what is new in it; `known` learns that. Raises CacheError and CacheBusy.

    Names of archives are kept only of those that are on the list.
    """
    found = Look(known.graph, archives=Archives(announced))
    unread = array("Q")  # number and ETag, in turn
    links: dict[str, tuple[int, str]] = {}
    wanted: list[tuple[str, int]] = []
    for count, stored in enumerate(cache.objects()):
        if count and count % 50_000 == 0:
            tell(f"{count:,} objects listed")
        found.bytes += stored.size
        _sort(found, known, stored, unread, links, wanted)
    found.archives.sort()
    found.grow()
    _read_narinfos(cache, found, unread, tell)
    _read_links(cache, wanted, links)
    known.links = links
    for name, (_, target) in links.items():
        if name.startswith(_DEBUG):
            found.of_archives.setdefault(target, []).append(name)
        elif (path := found.graph.hashes.find(number_of(target))) is not None:
            found.followers.setdefault(path, []).append(name)
    found.grow()
    return found


def _sort(
    found: Look,
    known: Known,
    stored: Stored,
    unread: array[int],
    links: dict[str, tuple[int, str]],
    wanted: list[tuple[str, int]],
) -> None:
    name = stored.name
    if name.startswith(ARCHIVES):
        found.archives.add(stored)
    elif name.startswith(OWN):
        found.own.append(stored)
    elif name.startswith((_REALISATIONS, _DEBUG)):
        etag = short(stored.etag)
        if name in known.links and known.links[name][0] == etag:
            links[name] = known.links[name]
        elif stored.size <= LARGEST:
            wanted.append((name, etag))
    elif (path := _path(found.graph, name, _NARINFO)) is not None:
        found.grow()
        etag = short(stored.etag)
        found.present[path], found.sizes[path], found.modified[path] = 1, stored.size, stored.modified
        if stored.size > LARGEST:  # our pushers do not take it for a narinfo either
            found.graph.set(path, etag, 0, ())
        elif found.graph.etags[path] != etag:
            unread.extend((path, etag))
    elif (path := _path(found.graph, name, _LISTING)) is not None:
        found.followers.setdefault(path, []).append(name)
    else:
        found.others += 1


def _path(graph: Graph, name: str, ending: str) -> int | None:
    """The number of the path that a narinfo or a listing is of; None for any other name."""
    if len(name) != HASH_PART + len(ending) or not name.endswith(ending):
        return None
    try:
        return graph.add(number_of(name[:HASH_PART]))
    except ValueError:
        return None


def _read_narinfos(cache: Store, found: Look, unread: array[int], tell: Tell) -> None:
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
        archive, references = _parsed(content)
        graph.set(path, etag, archive, references)


def _parsed(content: bytes) -> tuple[int, list[int]]:
    """The archive, 0 for none of this cache, and the hash parts of the references. What Nix cannot read has neither."""
    archive, bases = archive_name(field_of(content, "URL")), field_of(content, "References").split()
    references = [number_of(base[:HASH_PART]) for base in bases if _BASE.match(base)]
    return short(archive) if archive else 0, references


def field_of(content: bytes, name: str) -> str:
    """The values of a field of a narinfo, empty if it has none."""
    lines = (line.partition(":") for line in presence.decoded(content).splitlines())
    return " ".join(value.strip() for field_name, _, value in lines if field_name == name)


def archive_name(url: str) -> str:
    """The name of the object that the URL of a narinfo means; empty for one of another cache."""
    if "://" in url:
        return ""
    return posixpath.normpath(urllib.parse.unquote(url.partition("?")[0])).lstrip("/") if url else ""


def _read_links(cache: Store, wanted: Iterable[tuple[str, int]], links: dict[str, tuple[int, str]]) -> None:
    for (name, etag), content in read_all(cache, ((name, (name, etag)) for name, etag in wanted)):
        target = _target(name, content or b"")
        if target:
            links[name] = (etag, target)


def _target(name: str, content: bytes) -> str:
    """The hash part of a realisation's path, or the archive of a debug link; empty for what is neither."""
    try:
        value = flat_json.parse(content)
        if name.startswith(_DEBUG):
            target = archive_name(posixpath.join("debuginfo", value["archive"]))
            return target if "\n" not in target else ""
        hash_part: str = value["outPath"][:HASH_PART]
        number_of(hash_part)
        return hash_part
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def read_all(cache: ObjectCache, wanted: Iterable[tuple[str, Key]]) -> Iterator[tuple[Key, bytes | None]]:
    """The contents of many small objects, each with its key. Raises CacheError and CacheBusy."""
    waiting: deque[tuple[Key, Future[bytes | None]]] = deque()
    stop, gate = threading.Event(), Gate()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for name, key in wanted:
                attempt = partial(cache.get, name)
                waiting.append((key, pool.submit(retrying, attempt, stop, longest=_LONGEST, gate=gate)))
                if len(waiting) > 4 * _AT_ONCE:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            stop.set()
            for _, each in waiting:
                each.cancel()
