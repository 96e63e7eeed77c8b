"""The drain: entries out of the queue, planned, packed, pushed; the table of contents of an upload.

One thread, the one that calls `run`, reads the queue, plans, and keeps the records. The workers execute `Tasks` of one
path, note in the `Ledger` what became of it, and go on with what was waiting for that. The same code runs in the
background uploader and in a flush that finds no uploader alive.

The cache is closed at every instant: a narinfo is published only when those of all its references are.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

from ..errors import StoreError, as_error, one_line
from ..nix.narinfo import Brought
from ..nix.store import Store, StorePath
from ..queue.directory import Entry, Queue
from ..queue.outcomes import Outcome
from ..system import log
from .ledger import Ledger, Pending
from .plan import Policy, plan
from .progress import Progress
from .push import Pusher
from .tasks import Tasks

WINDOW: Final = 2000  # paths in work, so that memory does not grow with the queue
_SWITCH: Final = 0.0003  # seconds; with Python's own 5 ms a narinfo waits for all threads that pack
_POLL: Final = 0.05  # seconds between looks into the queue
_RESPITE: Final = 1.0  # seconds after something that this thread did not expect
_HOPE: Final = 7 * 24 * 3600.0  # seconds after a build that a drain without end tries to push it
_RECORDS: Final = 2 << 20  # bytes of outcomes that a drain without end writes into one file


@dataclass(eq=False)
class _Flush:
    """Somebody who waits for `names`, the entries that were there when the drain heard of them; None before that."""

    names: set[str] | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    dry: bool = False

    def end(self, *, dry: bool) -> None:
        self.dry = dry
        self.ended.set()


class Drain:
    """Empties `queue` into `pusher`, for as long as `run` runs.

    One that runs for months takes `care` of itself every so many seconds: what failed is tried again, also without a
    flush, and what it remembers is forgotten. 0 stands for the drain of one job.
    """

    def __init__(self, queue: Queue, store: Store, pusher: Pusher, policy: Policy, care: float = 0.0) -> None:
        self.stop = threading.Event()
        self.refused = ""  # why the drain ended by itself: nothing can be pushed with these credentials
        self._queue, self._store, self._policy, self._pusher = queue, store, policy, pusher
        self._ledger = Ledger()
        self._lock = threading.Lock()  # of the ledger, for whoever changes it
        self._tasks = Tasks(pusher, store.nix.store_dir, self, self.stop)
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._unwritten: list[Outcome] = []  # what a full disk has no room for
        self._flushes: list[_Flush] = []
        self._active = time.monotonic()
        self._care = care
        self._cared = -math.inf
        self._trouble = ""  # what kept this thread from its work
        self._turned: float | None = None

    def run(self) -> None:
        """Drain until `end` is called, or the cache does not take our credentials any more.

        Nothing that the store, the disk or an entry brings ends it: what failed is tried again a moment later.
        """
        sys.setswitchinterval(_SWITCH)
        self._tasks.begin()
        self._events.put(_wake)  # to look into the queue at once
        try:
            while not self.stop.is_set():
                self._turned = time.monotonic()
                try:
                    self._turn()
                    self._trouble = ""
                except Exception as error:
                    self._note_trouble(error)
                    with suppress(Exception):
                        self._flush_records()
                    self.stop.wait(_RESPITE)
        finally:
            self._turned = None
            self.stop.set()
            try:
                self._flush_records()
            finally:
                for flush in self._flushes:  # nobody shall wait for a drain that ended
                    flush.end(dry=False)

    def _turn(self) -> None:
        self._handle_events()
        self._tasks.tend()
        for flush in self._flushes:
            self._begin_flush(flush)
        if self._care and time.monotonic() - self._cared > self._care:
            self._take_care()
        entries = self._take()
        if entries:
            self._admit(entries)
        with self._lock:  # what is settled by now is in the records that follow
            in_work = self._ledger.in_work
        if in_work or self._flushes:
            self._active = time.monotonic()
        self._flush_records()
        self._answer_flushes(idle=not entries and not in_work)

    def _note_trouble(self, error: Exception) -> None:
        self._trouble = one_line(as_error(error))
        log.exception()

    @property
    def silence(self) -> float:
        """Seconds since this thread last looked for something to do; 0 when it does not run."""
        turned = self._turned
        return time.monotonic() - turned if turned is not None else 0.0

    @property
    def idle(self) -> float:
        """Seconds since there was something in work, or somebody waited."""
        return time.monotonic() - self._active

    def usable(self, timeout: float) -> None:
        """From another thread: wait until the cache was looked at, at most `timeout` seconds.

        Raises what `Pusher.check` raises for good. Nothing is uploaded before the check is through.
        """
        self._tasks.checked.wait(timeout)

    def flush(self, deadline: float, tell: Callable[[Progress], None]) -> bool:
        """From another thread: wait until everything that is in the queue by now is settled, what failed tried once
        more, or the monotonic clock passes `deadline`; whether it is settled. Calls `tell` every second."""
        flush = _Flush()
        self._events.put(partial(self._flushes.append, flush))
        while not flush.ended.wait(min(1.0, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline or self.stop.is_set():
                return False
            tell(self.progress())
        return flush.dry

    def end(self) -> None:
        """From another thread: end `run` without waiting for what is in flight."""
        self.stop.set()
        self._events.put(_wake)

    def progress(self) -> Progress:
        """How far it is; from any thread."""
        queued, trouble = 0, self._trouble or self._tasks.trouble
        try:
            queued = sum(1 for _ in self._queue.names(self._ledger.pending.copy()))
        except OSError as error:
            trouble = one_line(error)
        return Progress(
            counts=dict(self._ledger.counts),
            pushed_bytes=self._ledger.pushed_bytes,
            waiting=self._ledger.in_work + queued,
            trouble=trouble,
            unrecorded=dict(Counter(outcome.what for outcome in self._unwritten)),
        )

    def _begin_flush(self, flush: _Flush) -> None:
        """Note what is there, if that was not done yet. Raises OSError when the queue cannot be read."""
        if flush.names is not None:
            return
        if not self._care:
            self._forget_failures()
        in_work = {name for name, pending in self._ledger.pending.items() if pending.left}
        flush.names = in_work.union(self._queue.names(self._ledger.pending))

    def _answer_flushes(self, *, idle: bool) -> None:
        if idle and self._flushes:  # entries may have been taken away by others
            there = set(self._queue.names(self._ledger.pending))
            for flush in self._flushes:
                flush.names = flush.names and flush.names & there
        # An entry is settled with its outputs; the report of a job counts also what those refer to.
        settled = [flush for flush in self._flushes if flush.names == set() and (idle or self._care)]
        for flush in settled:
            flush.end(dry=True)
            self._flushes.remove(flush)

    def _forget_failures(self) -> None:
        with self._lock:
            self._ledger.forget_failures()
        self._queue.retry_failed()

    def _take_care(self) -> None:
        self._cared = time.monotonic()
        with self._lock:
            self._ledger.forget_settled()
        self._queue.outcomes.rotate(_RECORDS)
        self._queue.give_up(time.time() - _HOPE)
        self._queue.retry_failed()
        self._tasks.look_again()

    def _take(self) -> list[Entry]:
        room = WINDOW - self._ledger.in_work
        return self._queue.take(self._ledger.pending, limit=room) if room > 0 else []

    def _admit(self, entries: list[Entry]) -> None:
        """Plan entries and start the work on their paths. Where that fails, each is planned by itself."""
        try:
            planned = plan(entries, self._store, self._policy, self._ledger.known)
        except Exception as error:
            if not isinstance(error, StoreError):
                log.exception()
            if len(entries) == 1 or isinstance(error, StoreError):  # Nix cannot be asked at all
                self._reject(entries, one_line(as_error(error)))
                return
            for entry in entries:
                self._admit([entry])
            return
        for entry in entries:
            if not entry.outputs:
                self._queue.protect(planned.outputs[entry.name])
        with self._lock:
            try:
                infos = self._ledger.admit(entries, planned, self._pusher.realise)
            except Exception as error:  # what was admitted in part is not published
                log.exception()
                infos = []
                self._ledger.give_up(entries, planned, one_line(as_error(error)))
            ready = self._ledger.take_ready()
        self._tasks.bring(infos)
        self._tasks.publish(ready)

    def _reject(self, entries: list[Entry], reason: str) -> None:
        with self._lock:
            for entry in entries:
                self._ledger.reject(entry, reason)

    def present(self, path: StorePath) -> list[Brought]:
        return self._note(partial(self._ledger.settle, path, Outcome(path, "present")))

    def brought(self, brought: Brought) -> list[Brought]:
        return self._note(partial(self._ledger.brought, brought))

    def published(self, brought: Brought) -> list[Brought]:
        outcome = Outcome(brought.path, brought.what, brought.size)
        return self._note(partial(self._ledger.settle, brought.path, outcome))

    def failed(self, path: StorePath, reason: str, *, denied: bool) -> list[Brought]:
        return self._note(partial(self._settle_failed, path, reason, denied=denied))

    def _note(self, change: Callable[[], None]) -> list[Brought]:
        """From the workers. The drain hears of it when there is something for it to do; records can wait."""
        with self._lock:
            change()
            ready = self._ledger.take_ready()
            wanted = self._ledger.finished or not self._ledger.in_work
        if wanted:
            self._events.put(_wake)
        return ready

    def _settle_failed(self, path: StorePath, reason: str, *, denied: bool) -> None:
        """With credentials that expired, leave the rest of the queue to a flush that may have others."""
        self._ledger.settle(path, Outcome(path, "failed", reason=reason))
        if denied:
            self.refused = reason
            self.stop.set()

    def _handle_events(self) -> None:
        """Everything that was asked of this thread; waits a moment when there is nothing."""
        with suppress(Empty):
            self._events.get(timeout=_POLL)()
            while True:
                self._events.get_nowait()()

    def _flush_records(self) -> None:
        """Outcomes first: an uploader that is killed between the two settles a path again, and never loses one."""
        ledger = self._ledger
        with self._lock:
            records, ledger.records = self._unwritten + ledger.records, []
            finished, ledger.finished = ledger.finished, []
        written = not records or self._queue.outcomes.record(records)
        self._unwritten = [] if written else records
        for pending in finished:
            for flush in self._flushes:
                if flush.names is not None:
                    flush.names.discard(pending.entry.name)
            if self._leave(pending):
                del ledger.pending[pending.entry.name]

    def _leave(self, pending: Pending) -> bool:
        """Take an entry from the queue; one that cannot be taken away is not begun again in this process."""
        try:
            if pending.reason:
                return self._queue.fail(pending.entry, pending.reason)
            return self._queue.done(pending.entry, pending.outputs)
        except Exception as error:
            self._note_trouble(error)
            return False


def _wake() -> None:
    """An event that ends the drain's sleep."""
