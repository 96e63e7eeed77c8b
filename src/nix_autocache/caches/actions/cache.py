"""The CI host's Actions cache as an `ObjectCache`, for `cache: gha://`.

Archives lie in packs, and narinfos in the index at the end of each, so that a job makes few requests whatever it
builds. What was put is visible to others when it is sealed. A job without the host's variables has no such cache.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from ...errors import CacheBusy, CacheError
from ...nix.keys import JOB_PREFIX
from ...nix.store_url import CacheUrl
from ...system import threads
from ..http_status import ARCHIVES, INFO
from ..protocol import Access, Body, Content, Indexed
from . import index, shared
from .big_archives import BigArchives
from .catalog import Catalog
from .keys import Place
from .links import Links
from .lookups import Lookups
from .opening import open_service
from .packs import Sender
from .range_files import RangeFiles
from .service import ActionsService
from .writer import Limits, Writer

_NARINFO: Final = ".narinfo"
_DEFAULT_SIZE: Final = 1 << 30  # bytes
_OF_A_JOB: Final = f"Sig: {JOB_PREFIX}"


class ActionsCache(Indexed):
    """`places` are the lanes that this job reads, its own first; `size` is what its branch may take, in bytes."""

    seals: Final = True
    together: Final = 1

    def __init__(
        self,
        service: ActionsService,
        places: Sequence[Place],
        environ: Mapping[str, str],
        store_dir: str,
        size: int = _DEFAULT_SIZE,
        limits: Limits = Limits(),  # noqa: B008 - it is immutable
        directory: Path | None = None,
    ) -> None:
        self._service, self._store_dir = service, store_dir
        links = Links(service)
        sender = Sender(service)
        self._catalog = Catalog(Lookups(service, links, places), links, size)
        new_key = partial(places[0].new_key, environ)
        self._writer = Writer(sender, BigArchives(service, sender), self._catalog, new_key, limits)
        self._ranges = RangeFiles(links, directory)

    def open_connections(self, count: int) -> None:
        """See ObjectCache. The indexes are read as well: whoever asks, asks for paths."""
        threads.start(self._load, "indexes")

    def close_connections(self) -> None:
        self._service.close_connections()

    def _load(self) -> None:
        with suppress(CacheBusy, CacheError):  # the first question raises it again
            self._catalog.load()

    def get(self, name: str) -> bytes | None:
        if name == INFO:
            return f"StoreDir: {self._store_dir}\nWantMassQuery: 1\nPriority: 30\n".encode()
        if name.startswith(ARCHIVES):
            content = self.open(name)
            return None if content is None else b"".join(content.pieces)
        item = self._writer.pending.get(name) or (self._catalog.get(name) if _is_held(name) else None)
        return item.text.encode() if item else None

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        found = {}
        with suppress(CacheBusy, CacheError):
            for name in names:
                found[name] = self.get(name)
        return found

    def open(self, name: str) -> Content | None:
        """See ObjectCache. An archive of this job can be read when it is sealed."""
        if not name.startswith(ARCHIVES):
            text = self.get(name)
            return Content.of_found(text)
        item = self._catalog.archive(name)
        total = self._catalog.size_of(item.entry) if item else 0
        if item is None or not total:
            return None
        pieces = self._pieces(item, total)
        first = next(pieces)
        if first or not item.size:
            return Content(item.size, _after(first, pieces))
        self._catalog.forget([item.entry])
        return None

    def _pieces(self, item: index.Item, total: int) -> Iterator[bytes]:
        """Its bytes; an empty piece if its entry is gone. Raises CacheError if that goes while it is read."""
        read = 0
        for piece in self._ranges.pieces(item.entry, total, item.offset, item.offset + item.size):
            read += len(piece)
            yield piece
        if not read:
            yield b""
        elif read < item.size:
            self._catalog.forget([item.entry])
            raise CacheError(f"{item.archive} went from the Actions cache while it was read")

    def exists(self, name: str) -> bool:
        if name.startswith(ARCHIVES):
            return self._writer.pending.has_archive(name) or self._catalog.archive(name) is not None
        return self.get(name) is not None

    def put(self, name: str, body: Body, content_type: str) -> None:
        """See ObjectCache. What is neither an archive, nor a narinfo or a realisation, has no place here."""
        if name.startswith(ARCHIVES):
            self._writer.put_archive(name, body)
        elif _is_held(name):
            content = body if isinstance(body, bytes) else b"".join(body)
            self._writer.put_item(_item(name, content.decode("utf-8", "replace")))

    def seal(self) -> None:
        self._writer.seal()

    def sealed(self, name: str) -> bool:
        return self._writer.pending.is_sealed(name)

    def known(self) -> str:
        """See Indexed."""
        return shared.encode(self._catalog.load())

    def learn(self, known: str) -> None:
        """See Indexed."""
        with suppress(CacheError):  # then it is looked up here
            self._catalog.learn(shared.decode(known))

    def use(self, names: Iterable[str]) -> None:
        """See Indexed."""
        self._catalog.use(names)

    @property
    def is_stale(self) -> bool:
        """See Indexed: the days of use in the index are old, or the lanes of this branch do not know of each other."""
        return self._catalog.is_stale


def open_actions(url: CacheUrl, access: Access) -> ActionsCache:
    """The Actions cache of this job. Sends no request yet. Raises CacheError in a job that has none."""
    store_dir = access.nix.store_dir
    version = hashlib.sha256(f"nix-autocache 1{store_dir}".encode()).hexdigest()
    service = open_service(access.environ, version)
    if service is None or not access.lanes:
        raise CacheError(
            f"{url.without_params}: this job has no Actions cache, or this step not the variables for it, which only "
            "actions get; use the action as a step with `uses:`, or set another `cache`"
        )
    system = f"{platform.machine()}-{sys.platform}".lower()
    places = [Place(lane, system) for lane in access.lanes]
    size = access.size_limit or _DEFAULT_SIZE
    return ActionsCache(service, places, access.environ, store_dir, size, directory=access.directory)


def _is_held(name: str) -> bool:
    """True for what an index holds."""
    return (name.endswith(_NARINFO) and "/" not in name) or name.startswith("realisations/")


def _item(name: str, text: str) -> index.Item:
    """Raises CacheError for what has no place in an index."""
    if name.endswith(_NARINFO):
        lines = (line for line in text.splitlines(keepends=True) if not line.startswith(_OF_A_JOB))
        item = index.narinfo("".join(lines))
    else:
        item = index.realisation(name, f"{text.rstrip()}\n")
    if item is None or item.name != name:
        raise CacheError(f"{name} cannot be stored in the Actions cache: it is too large, or not as Nix writes it")
    return item


def _after(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others
