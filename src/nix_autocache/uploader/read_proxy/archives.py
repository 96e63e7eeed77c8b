"""The archives that Nix asks for, from the spool or from the cache, and those that it will ask for next."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from ...caches.protocol import Content
from ...errors import CacheBusy
from .archive_queue import LARGE, ArchiveQueue
from .fetch import Fetch, State, differs, verified
from .hints import Archive
from .objects import BY_QUESTION, CacheObjects
from .spool import SMALL, Spool

_HELD: Final = 30.0  # seconds for which an archive waits for Nix
_MOMENT: Final = 0.01  # seconds in which Nix asks for the last archive, if it does not evaluate on
_LARGE_AT_ONCE: Final = 12  # so that they leave bandwidth to what Nix waits for, and take 24 MB for their pieces

Job = Callable[[], None]


class Archives:
    """Used from many threads at once. `has_room` is called when there is room in the spool again."""

    def __init__(self, objects: CacheObjects, spool: Spool, has_room: Callable[[], None]) -> None:
        self._objects = objects
        self._spool = spool
        self._has_room = has_room
        self._lock = threading.Lock()
        self._queue = ArchiveQueue()
        self._fetches: dict[str, Fetch] = {}
        self._large_running = 0

    def know(self, archive: Archive) -> None:
        """Remember what the narinfo says, to compare the archive with it."""
        with self._lock:
            self._queue.know(archive)

    def want(self, archive: Archive) -> None:
        """Queue it, if there can be room for it."""
        if not self._spool.may_hold(archive.size):
            return
        with self._lock:
            if archive.name not in self._fetches:
                self._queue.add(archive)

    def next_job(self) -> Job | None:
        """Fetches one of the queue; None if there is nothing to do, or no room, now."""
        with self._lock:
            if not self._objects.may_fetch_ahead:
                return None
            small, large = self._queue.small, self._queue.large
            if together := self._take(small, self._objects.share(len(small)), BY_QUESTION):
                return partial(self._run_together, together)
            free = _LARGE_AT_ONCE - self._large_running
            for fetch in self._take(small, 1) or self._take(large, min(1, free)):
                return partial(self._run_ahead, fetch)
        return None

    def _take(self, queue: dict[str, Archive], count: int, largest: float = math.inf) -> list[Fetch]:
        """Begin with the last `count` of a queue, as long as they are not larger. The caller holds the lock."""
        taken: list[Fetch] = []
        while queue and len(taken) < count:
            name, archive = queue.popitem()
            fetch = self._begin(archive) if archive.size <= largest else None
            if fetch is None:
                queue[name] = archive
                break
            taken.append(fetch)
        return taken

    def _run_together(self, fetches: Sequence[Fetch]) -> None:
        names = [fetch.archive.name for fetch in fetches]
        try:
            found = self._objects.get_many(names, ahead=True)
        except Exception:
            found = {}
        for fetch in fetches:
            if (name := fetch.archive.name) in found:
                self._run(fetch, partial(Content.of_found, found[name]))
            else:
                self._run_ahead(fetch)

    def _run_ahead(self, fetch: Fetch) -> None:
        if fetch.archive.size > LARGE and not self._queue and fetch.is_asked_for(_MOMENT):
            self._end(fetch, State.LEFT)
        else:
            self._run(fetch, partial(self._objects.open_ahead, fetch.archive.name, fetch.archive.size))

    def open_now(self, name: str) -> Content | None:
        """A small archive that is here whole; None does not say that it is missing."""
        with self._lock:
            fetch = self._fetches.get(name)
            if fetch is None or fetch.state is not State.WHOLE or fetch.archive.size > LARGE:
                return None
            self._queue.ask(name)
            text = fetch.room.read(0, fetch.archive.size)
            if not fetch.users:
                self._drop(fetch)
        self._has_room()
        return Content.of(text)

    def open(self, name: str) -> Content | None:
        """An archive for Nix. Raises CacheError if it is not what its narinfo says."""
        with self._lock:
            self._queue.ask(name)
            archive = self._queue.known(name)
            fetch = self._fetches.get(name)
            mine = None
            if fetch is None and archive and archive.size <= SMALL:
                fetch = mine = self._begin(archive)
            if fetch:
                fetch.join()
        if mine:
            self._run(mine, partial(self._objects.open, name))
        if fetch is None:
            return verified(self._objects.open(name), archive)
        return self._served(fetch)

    def tidy(self) -> None:
        """Drop what Nix has not taken, and then also the queue: Nix may never want it."""
        with self._lock:
            ended = [each for each in self._fetches.values() if each.state is not State.RUNNING and not each.users]
            late = [each for each in ended if time.monotonic() - each.ended > _HELD]
            for each in late:
                self._drop(each)
            self._queue.tidy()
            if any(each.state is State.WHOLE for each in late):
                self._queue.clear()

    @property
    def waiting(self) -> bool:
        """True if some are queued."""
        return bool(self._queue)

    @property
    def is_empty(self) -> bool:
        return not self._fetches

    def _begin(self, archive: Archive) -> Fetch | None:
        """None if there is no room. The caller holds the lock."""
        room = self._spool.reserve(archive.size)
        if room is None:
            return None
        self._fetches[archive.name] = fetch = Fetch(archive, room)
        self._large_running += archive.size > LARGE
        return fetch

    def _run(self, fetch: Fetch, ask: Callable[[], Content | None]) -> None:
        state = State.FAILED
        try:
            state = fetch.fill(ask())
        except CacheBusy:
            self._objects.pause_ahead()
        except Exception:
            pass  # who waits for it asks the cache, and reports what happens then
        finally:
            self._end(fetch, state)

    def _end(self, fetch: Fetch, state: State) -> None:
        with self._lock:
            fetch.end(state)
            self._large_running -= fetch.archive.size > LARGE
            if fetch.dropped or (state is State.FAILED and not fetch.users):
                self._drop(fetch)

    def _served(self, fetch: Fetch) -> Content | None:
        state = fetch.wait()
        if state in {State.RUNNING, State.WHOLE}:
            pieces = self._pieces(fetch)
            next(pieces)  # begun, so that `close` reaches its end even if nothing is read
            return Content(fetch.archive.size, pieces)
        self._leave(fetch)
        if state is State.WRONG:
            raise differs(fetch.archive)
        return None if state is State.MISSING else verified(self._objects.open(fetch.archive.name), fetch.archive)

    def _pieces(self, fetch: Fetch) -> Iterator[bytes]:
        try:
            yield b""
            yield from fetch.pieces()
        finally:
            self._leave(fetch)

    def _leave(self, fetch: Fetch) -> None:
        """Nix fetches an archive once, so it is dropped when nobody reads it any more."""
        with self._lock:
            fetch.users -= 1
            if not fetch.users:
                self._drop(fetch)
        self._has_room()

    def _drop(self, fetch: Fetch) -> None:
        """Forget it; its room is given back once nobody writes there. The caller holds the lock."""
        fetch.dropped = True
        if self._fetches.get(fetch.archive.name) is fetch:
            del self._fetches[fetch.archive.name]
        if fetch.state is not State.RUNNING:
            fetch.room.close()
