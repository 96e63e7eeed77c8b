"""Those who wait until the queue is empty: each for the entries that were there when it asked."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from queue import SimpleQueue

from ..queue.directory import Queue
from ..system.dataclass import dataclass, field
from .ledger import Ledger


@dataclass(eq=False)
class Flush:
    """One who waits for the entries in `names`; None until the drain has heard of it."""

    names: set[str] | None = None
    drained: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def end(self, *, drained: bool) -> None:
        self.drained = drained
        self.ended.set()


class Flushes:
    """Those who wait now. All but `request` is for the drain's thread.

    A drain that runs for months retries what failed in its own time; that of one job does so for each flush.
    """

    def __init__(self, queue: Queue, ledger: Ledger, *, lasting: bool) -> None:
        self._queue, self._ledger, self._lasting = queue, ledger, lasting
        self._requested: SimpleQueue[Flush] = SimpleQueue()
        self._waiting: list[Flush] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def request(self) -> Flush:
        """From any thread. Whoever waits for it must see by itself whether the drain still runs."""
        flush = Flush()
        self._requested.put(flush)
        return flush

    def hear(self) -> bool:
        """Take new ones. True if there are some that are not begun."""
        while not self._requested.empty():
            self._waiting.append(self._requested.get_nowait())
        return any(flush.names is None for flush in self._waiting)

    def begin(self) -> None:
        """Note for new ones what is in the queue. Raises OSError when it cannot be read; they are begun later then."""
        for flush in self._waiting:
            if flush.names is not None:
                continue
            if not self._lasting:
                self._ledger.forget_failures()
                self._queue.retry_failed()
            flush.names = self._ledger.unfinished().union(self._queue.names(self._ledger.entries()))

    def finish(self, names: Iterable[str]) -> None:
        """These entries need not be waited for any more."""
        for flush in self._waiting:
            if flush.names is not None:
                flush.names.difference_update(names)

    def answer(self, *, idle: bool) -> None:
        """End those who wait for nothing any more. `idle` means that nothing was taken and nothing is in work."""
        if idle and self._waiting:  # entries may have been taken away by others
            there = set(self._queue.names(self._ledger.entries()))
            for flush in self._waiting:
                flush.names = flush.names and flush.names & there
        # An entry is settled with its outputs; the report of a job counts also what those refer to.
        for flush in [each for each in self._waiting if each.names == set() and (idle or self._lasting)]:
            flush.end(drained=True)
            self._waiting.remove(flush)

    def abandon(self) -> None:
        """The drain has ended: nobody shall wait for it."""
        for flush in self._waiting:
            flush.end(drained=False)
