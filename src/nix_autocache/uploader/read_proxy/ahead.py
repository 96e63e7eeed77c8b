"""Fetches what Nix will ask for next: the narinfos of the whole closure of what it asked for, and their archives.

Nix asks for all narinfos of a closure, a round trip for each level, and only then for the first archive, which is here
by then. It may never ask, as in a dry run, so whatever it does not take goes after 30 s. What the index knows costs no
round trip: with the first question all archives of its closure are queued. Small ones that it names are fetched before
that, while the job evaluates.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from ...caches.protocol import Content
from ...errors import CacheError
from ...nix.store import HASH_PART
from .archives import Archives
from .hints import Hints, narinfo_of, of_narinfo
from .index import Index
from .narinfos import KNOWN, Narinfos
from .objects import BY_QUESTION, CacheObjects
from .spool import Spool
from .workers import Workers

_AT_ONCE: Final = 64  # objects that are fetched ahead
_EARLY: Final = 8 << 20  # bytes of small archives that are fetched before Nix asks for anything

Job = Callable[[], None]


class ObjectsAhead:
    """The objects of a cache, of which it knows some before Nix asks. Used from many threads at once.

    What lies in `store_dir` is not fetched ahead. It may be there without being valid, so Nix may ask for it still.
    `used` is called with each narinfo that Nix is given.
    """

    def __init__(
        self,
        objects: CacheObjects,
        spool: Spool,
        store_dir: Path,
        index: Index,
        used: Callable[[str, bytes], None] = lambda *_: None,
    ) -> None:
        self._objects = objects
        self._used = used
        self._store_dir = store_dir
        self._index = index
        self._walks: deque[Sequence[str]] = deque()  # base names whose closures are to be queued
        self._walked: dict[str, float] = {}  # when, for each base name that a walk came by lately
        self._workers = Workers(_AT_ONCE, "ahead")
        self._narinfos = Narinfos(objects, self._found)
        self._archives = Archives(objects, spool, self._go_on)

    def begin(self) -> None:
        """Fetch small archives that the index names. Call it when the index is loaded."""
        count, room = 0, _EARLY
        for known in self._index.first():
            size = known.hints.archive.size if known.hints.archive else 0
            if size <= min(room, BY_QUESTION) and self._want(known.hints):
                room -= size
                count += 1
        self._wake(count)

    def open(self, name: str) -> Content | None:
        """None if it is missing, cannot be read now, or is nothing that Nix asks for."""
        if name.endswith(".narinfo") and "/" not in name:
            text = self._indexed(name) or self._narinfos.get(name)
            return None if text is None else self._given(name, text)
        return self._archive(name) if name.startswith("nar/") else self._objects.open(name)

    def open_now(self, name: str) -> Content | None:
        """The object if it is here whole. None does not say that it is missing. Never waits."""
        if name.startswith("nar/"):
            return self._archives.open_now(name)
        if not name.endswith(".narinfo"):
            return self._objects.open_now(name)
        if self._index.is_awaited:
            return None
        text = self._indexed(name) or self._narinfos.take(name)
        return self._given(name, text) if text else None

    @property
    def together(self) -> int:
        """How many narinfos `open_soon` best gets."""
        return self._objects.together

    def open_soon(self, names: Sequence[str]) -> None:
        """Get narinfos together that Nix has asked for; `open` then has each."""
        self._narinfos.get_soon([name for name in names if self._index.get(name.removesuffix(".narinfo")) is None])

    def exists(self, name: str) -> bool:
        return self._objects.exists(name)

    def tidy(self) -> None:
        """Drop what Nix has not taken. Call it every second or so."""
        self._narinfos.tidy()
        now = time.monotonic()
        for base in [base for base, when in list(self._walked.items()) if now - when > KNOWN]:
            self._walked.pop(base, None)
        self._archives.tidy()
        self._go_on()

    def rest(self) -> None:
        """Give up what only saves time. Call it when nothing was held for a while."""
        self._objects.rest()

    @property
    def is_empty(self) -> bool:
        """True if nothing is held or being fetched."""
        return self._narinfos.is_empty and self._archives.is_empty

    def _given(self, name: str, text: bytes) -> Content:
        self._used(name, text)
        return Content.of(text)

    def _indexed(self, name: str) -> bytes | None:
        """The narinfo as the index has it."""
        known = self._index.get(name.removesuffix(".narinfo"))
        if known is None:
            return None
        self._wake(self._lead(known.hints))
        return known.text

    def _archive(self, name: str) -> Content | None:
        try:
            return self._archives.open(name)
        except CacheError:
            stale = self._index.forget(name)
            if not stale:
                raise
        for hash_part in stale:  # the archive may be newer than the index: then the cache's narinfo says so
            self._narinfos.get(f"{hash_part}.narinfo")
        return self._archives.open(name)

    def _found(self, texts: Iterable[bytes]) -> None:
        """Called with all narinfos that came from the cache."""
        self._wake(sum(self._lead(hints) for hints in map(of_narinfo, texts) if hints))

    def _lead(self, hints: Hints) -> int:
        """Queue what a narinfo leads to; of how much more there is to do."""
        references = [base for base in hints.references if not self._is_done(base)]
        indexed = [base for base in references if base[:HASH_PART] in self._index]
        count = self._narinfos.want(narinfo_of(base) for base in references if base[:HASH_PART] not in self._index)
        count += self._want(hints)
        if indexed:
            self._walks.append(indexed)
            count += 1
        return count

    def _walk(self, bases: Sequence[str]) -> None:
        """Queue the closure of what the index knows."""
        found, others = self._index.closure(bases, self._is_done)
        now = time.monotonic()
        self._walked.update((hints.base, now) for hints in found)
        count = sum(map(self._want, found))
        self._wake(count + self._narinfos.want(map(narinfo_of, others)))

    def _want(self, hints: Hints) -> bool:
        """Queue its archive; False if it has none in this cache, or the path is here."""
        if hints.archive:
            self._archives.know(hints.archive)
        if not hints.archive or self._is_here(hints.base):
            return False
        self._archives.want(hints.archive)
        return True

    def _go_on(self) -> None:
        """Look again for what there was no room for, or what a cache in trouble left."""
        if self._narinfos.waiting or self._archives.waiting:
            self._wake(1)

    def _wake(self, count: int) -> None:
        """Let more threads look for something to do, of which there is so much more."""
        for _ in range(min(math.ceil(count / self._objects.share(count)), _AT_ONCE) if count else 0):
            self._workers.start(self._work)

    def _work(self) -> None:
        while job := self._next_job():
            with suppress(Exception):  # Nix asks for it, and gets the error
                job()

    def _next_job(self) -> Job | None:
        with suppress(IndexError):  # there is none, or another thread was faster
            return partial(self._walk, self._walks.popleft())
        return self._narinfos.next_job() or self._archives.next_job()

    def _is_done(self, base: str) -> bool:
        return base in self._walked or self._is_here(base)

    def _is_here(self, base: str) -> bool:
        return os.path.lexists(f"{self._store_dir}/{base}")
