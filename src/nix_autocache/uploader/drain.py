"""The drain: the thread that empties the queue; the table of contents of an upload.

It takes entries and plans them (`intake`), and writes down what became of them (`records`). Workers do the rest: they
execute `Tasks` of one path and note in the `Ledger` what became of it, which says what they may publish next. The same
code runs in the background uploader and in a flush that finds no uploader alive.

The cache is closed at every instant: a narinfo is published only when those of all its references are.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..errors import as_error, one_line
from ..nix.store_client import StoreClient
from ..queue.directory import Queue
from ..system import log
from ..system.dataclass import replace
from .carrying import Carrying
from .flushes import Flushes
from .intake import Intake
from .ledger import Ledger
from .nix_reading import NixReading
from .plan import Policy
from .progress import Progress
from .records import Records
from .sealing import Sealing
from .tasks import SETTLE, Tasks

_SWITCH: Final = 0.0003  # seconds; with Python's own 5 ms a narinfo waits for all threads that pack
_POLL: Final = 0.05  # seconds between looks into the queue
_PACE: Final = 0.02  # the same while paths are in work: a look at a thousand entries takes 2 ms of all threads' time
_RESPITE: Final = 1.0  # seconds after something that this thread did not expect
_RETRY_LIMIT: Final = 7 * 24 * 3600.0  # seconds after a build that a drain that runs for months tries to push it
_OUTCOMES: Final = 2 << 20  # bytes of outcomes that a drain that runs for months writes into one file


class Drain:
    """Empties `queue` into the cache of `tasks`, for as long as `run` runs.

    One that runs for months has a `maintenance_interval`, in seconds: so often, what failed is tried again, also
    without a flush, and what it remembers is forgotten. 0 stands for the drain of one job.
    """

    def __init__(
        self,
        queue: Queue,
        store: StoreClient,
        policy: Policy,
        tasks: Tasks,
        ledger: Ledger,
        *,
        reading: NixReading,
        maintenance_interval: float = 0.0,
    ) -> None:
        self._queue, self._tasks, self._ledger = queue, tasks, ledger
        self._intake = Intake(queue, store, policy, tasks, ledger)
        self._carrying = Carrying(queue, store, reading)
        self._records = Records(queue, ledger)
        self._sealing = Sealing(tasks, ledger)
        self._flushes = Flushes(queue, ledger, lasting=maintenance_interval > 0)
        self._active = time.monotonic()
        self._maintenance_interval = maintenance_interval
        self._maintained = -math.inf
        self._paused_until = -math.inf
        self._trouble = ""  # what kept this thread from its work
        self._turned: float | None = None

    def run(self) -> None:
        """Drain until `end` is called, or the cache does not take our credentials any more.

        Nothing that the store, the disk or an entry brings ends it: what failed is tried again a moment later.
        """
        sys.setswitchinterval(_SWITCH)
        self._tasks.begin()
        self._ledger.changed.set()  # to look into the queue at once
        stop = self._tasks.stop
        try:
            while not stop.is_set():
                self._turned = time.monotonic()
                try:
                    self._turn()
                    self._trouble = ""
                except Exception as error:
                    self._trouble = one_line(as_error(error))
                    log.exception()
                    with suppress(Exception):
                        self._write_records()
                    stop.wait(_RESPITE)
        finally:
            self._turned = None
            stop.set()
            try:
                self._write_records()
            finally:
                self._flushes.abandon()

    @property
    def refused(self) -> str:
        """Why the drain ended by itself: nothing can be pushed with these credentials."""
        return self._tasks.refusals.reason

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

        Raises what `Pusher.check` and `Pusher.confirm` raise for good. Nothing is published before both are through.
        """
        self._tasks.checking.before_publication(timeout)

    def flush(self, deadline: float, tell: Callable[[Progress], None]) -> bool:
        """From another thread: wait until everything that is in the queue by now is settled, what failed tried once
        more, or the monotonic clock passes `deadline`. Returns whether it is settled. Calls `tell` every second."""
        flush = self._flushes.request()
        self._ledger.changed.set()
        while not flush.ended.wait(min(1.0, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline or self._tasks.stop.is_set():
                return False
            tell(self.progress())
        if flush.drained and not self._maintenance_interval:
            self._settle(deadline)
        return flush.drained

    def _settle(self, deadline: float) -> None:
        """Leave what makes the next run faster, and wait for it, though not for long."""
        end = min(deadline, time.monotonic() + SETTLE)
        self._tasks.settle(end - time.monotonic())
        self._sealing.renewed.clear()
        self._ledger.changed.set()
        self._sealing.renewed.wait(max(0.0, end - time.monotonic()))

    def end(self) -> None:
        """From another thread: end `run` without waiting for what is in flight."""
        self._tasks.stop.set()
        self._ledger.changed.set()

    def progress(self) -> Progress:
        """How far it is; from any thread."""
        queued, trouble = 0, self._trouble or self._tasks.trouble
        try:
            queued = sum(1 for _ in self._queue.names(self._ledger.entries()))
        except OSError as error:
            trouble = one_line(error)
        taken = self._ledger.progress()
        unwritten = self._records.unwritten
        return replace(taken, waiting=taken.waiting + queued, trouble=trouble, unrecorded=unwritten)

    def _turn(self) -> None:
        self._ledger.changed.wait(_POLL)
        self._ledger.changed.clear()  # before everything: what changes from here on brings another turn
        if self._ledger.in_work and time.monotonic() < self._paused_until:
            return
        self._paused_until = time.monotonic() + _PACE
        self._tasks.tend()
        self._carrying.queue(at_once=self._flushes.hear())
        self._flushes.begin()
        if self._maintenance_interval and time.monotonic() - self._maintained > self._maintenance_interval:
            self._maintain()
        sealing = self._sealing.running
        took = not sealing and self._intake.take()
        in_work = self._ledger.in_work  # what is settled by now is in the records that follow
        unsealed = self._ledger.unsealed
        if in_work or self._flushes:
            self._active = time.monotonic()
        self._write_records()
        idle = not (sealing or took or in_work)
        if idle and unsealed and self._flushes:
            self._sealing.begin()
        elif idle and not unsealed and not self._sealing.renewed.is_set():
            self._sealing.renew()
        self._flushes.answer(idle=idle and not unsealed)

    def _write_records(self) -> None:
        self._flushes.finish(self._records.write())

    def _maintain(self) -> None:
        self._maintained = time.monotonic()
        self._ledger.forget_settled()
        self._queue.outcomes.rotate(_OUTCOMES)
        self._queue.give_up(time.time() - _RETRY_LIMIT)
        self._queue.retry_failed()
        self._tasks.look_again()
        self._tasks.settle()
