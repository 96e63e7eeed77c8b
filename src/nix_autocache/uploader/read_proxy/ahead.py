"""Fetches what Nix will ask for next: the narinfos of the whole closure of what it asked for, and their archives.

Nix asks for all narinfos of a closure, a round trip for each level, and only then for the first archive, which is here
by then. It may never ask, as in a dry run, so whatever it does not take goes after 30 s.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...caches.protocol import Content
from .archives import Archives
from .hints import narinfo_of, of_narinfo
from .narinfos import Narinfos
from .objects import CacheObjects
from .spool import Spool

_AT_ONCE: Final = 64  # objects that are fetched ahead

Job = Callable[[], None]


class ObjectsAhead:
    """The objects of a cache, of which it knows some before Nix asks. Used from many threads at once.

    What lies in `store_dir` is not fetched ahead. It may be there without being valid, so Nix may ask for it still.
    """

    def __init__(self, objects: CacheObjects, spool: Spool, store_dir: Path) -> None:
        self._objects = objects
        self._store_dir = store_dir
        self._workers = _Workers(self._next_job)
        self._narinfos = Narinfos(objects, self._found)
        self._archives = Archives(objects, spool, self._workers.wake)

    def open(self, name: str) -> Content | None:
        """None if it is missing, cannot be read now, or is nothing that Nix asks for."""
        if name.endswith(".narinfo") and "/" not in name:
            text = self._narinfos.get(name)
            return None if text is None else Content(len(text), iter([text]))
        return self._archives.open(name) if name.startswith("nar/") else self._objects.open(name)

    def exists(self, name: str) -> bool:
        return self._objects.exists(name)

    def tidy(self) -> None:
        """Drop what Nix has not taken. Call it every second or so."""
        self._narinfos.tidy()
        self._archives.tidy()
        self._workers.wake()

    @property
    def is_empty(self) -> bool:
        """True if nothing is held or being fetched."""
        return self._narinfos.is_empty and self._archives.is_empty

    def _found(self, text: bytes) -> None:
        """Queue what a narinfo leads to. An index of an earlier run would be asked for these here."""
        hints = of_narinfo(text)
        if not hints:
            return
        count = self._narinfos.want(narinfo_of(base) for base in hints.references if not self._is_here(base))
        if hints.archive:
            self._archives.know(hints.archive)
            if not self._is_here(hints.base):
                self._archives.want(hints.archive)
                count += 1
        for _ in range(min(count, _AT_ONCE)):
            self._workers.wake()

    def _next_job(self) -> Job | None:
        return self._narinfos.next_job() or self._archives.next_job()

    def _is_here(self, base: str) -> bool:
        return os.path.lexists(self._store_dir / base)


class _Workers:
    """Threads that do the jobs of `next_job`; they stay, since starting one costs more than most jobs."""

    def __init__(self, next_job: Callable[[], Job | None]) -> None:
        self._next_job = next_job
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0

    def wake(self) -> None:
        """Let one more thread look for a job."""
        with self._changed:
            if self._idle:
                self._idle -= 1
                self._changed.notify()
            elif self._threads < _AT_ONCE:
                with suppress(RuntimeError):  # somebody has used up the threads of this machine
                    threading.Thread(target=self._work, name="ahead", daemon=True).start()
                    self._threads += 1

    def _work(self) -> None:
        while True:
            with self._changed:
                while (job := self._next_job()) is None:
                    self._idle += 1
                    self._changed.wait()
            with suppress(Exception):  # Nix asks for it, and gets the error
                job()
