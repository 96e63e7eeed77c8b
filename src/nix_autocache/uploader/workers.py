"""Threads for requests, a budget for their memory, and retries: what the drain's tasks run on.

The threads are daemons: a program that must end within its deadline does not wait for a request.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from ..errors import CacheBusy, CacheError, one_line
from ..nix.nar import FOR_NOW
from ..system import log

T = TypeVar("T")

LONGEST: Final = 300.0  # seconds that one path may be tried for
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 8.0  # seconds: a flush that begins now shall not wait long for older retries


class Workers:
    """At most `count` threads that run what is submitted: the lowest rank first, equal ones in order of submission.

    A task that raises ends no thread; what it raised is printed. Where no thread can be started now (a job may use up
    its container's processes), tasks wait until there is one: at the next `submit` or `tend`.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started = self._starting = self._idle = 0
        self._tasks: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()

    def submit(self, task: Callable[[], None], rank: int) -> None:
        with self._changed:
            heapq.heappush(self._tasks, (rank, next(self._numbers), task))
            if not self._start_one():
                self._changed.notify()

    def tend(self) -> None:
        """Start the threads that could not be started before."""
        with self._changed:
            while self._start_one():
                pass

    def _start_one(self) -> bool:
        """Start a thread if there is work for one more."""
        if len(self._tasks) <= self._idle + self._starting or self._started >= self._count:
            return False
        thread = threading.Thread(target=self._work, name=f"worker-{self._started + 1}", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            return False
        self._started += 1
        self._starting += 1
        return True

    def _work(self) -> None:
        with self._changed:
            self._starting -= 1
        while True:
            task = self._next()
            try:
                task()
            except BaseException:  # what obstore raises when it panics is no Exception
                log.exception()

    def _next(self) -> Callable[[], None]:
        with self._changed:
            self._idle += 1
            while not self._tasks:
                self._changed.wait()
            self._idle -= 1
            return heapq.heappop(self._tasks)[2]


class Once:
    """A result that other threads wait for: done, or an error."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._error: Exception | None = None

    @property
    def failed(self) -> bool:
        return self._error is not None

    def settle(self, error: Exception | None = None) -> None:
        self._error = error
        self._done.set()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for it, at most `timeout` seconds. Raises the error that it ended with."""
        if self._done.wait(timeout) and self._error:
            raise self._error


class Budget:
    """Bytes that may be held at once by all threads together; one that wants more than all waits to be alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size <= self._limit)
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()


class Gate:
    """Closed while the cache asks not to be asked (Retry-After); the requests of all threads go through it."""

    def __init__(self) -> None:
        self._opens = 0.0

    def close(self, seconds: float) -> None:
        """For so long, but no longer than a path is tried for: a cache may ask for any time."""
        self._opens = max(self._opens, time.monotonic() + min(seconds, LONGEST))

    def closed_for(self) -> float:
        """Seconds until it opens."""
        return max(0.0, self._opens - time.monotonic())


def retrying(
    attempt: Callable[[], T],
    stop: threading.Event,
    *,
    longest: float = LONGEST,
    gate: Gate | None = None,
    tell: Callable[[CacheBusy], None] = lambda _: None,
) -> T:
    """The result of `attempt`, made again while the cache is busy: exponential backoff with full jitter, never
    before the cache's own Retry-After.

    Raises the last CacheBusy after `longest` seconds, or at once when `stop` is set; `tell` hears of the others.
    """
    gate = gate or Gate()
    begun = time.monotonic()
    error = CacheBusy("the cache was not asked any more")
    backoff = _backoff()
    while _wait(gate, next(backoff), begun + longest, stop):
        try:
            return _attempted(attempt)
        except CacheBusy as busy:
            error = busy
            if time.monotonic() > begun + busy.longest:
                raise CacheError(f"{busy}; is it a folder that is missing?") from None
            tell(busy)
            gate.close(busy.retry_after)
    raise error


def _backoff() -> Iterator[float]:
    """Seconds to wait before each attempt; none before the first."""
    yield 0.0
    longest = _FIRST_WAIT
    while True:
        yield random.uniform(0, longest)
        longest = min(2 * longest, _LONGEST_WAIT)


def _wait(gate: Gate, seconds: float, give_up: float, stop: threading.Event) -> bool:
    """Wait until `gate` is open, and for `seconds` from then. False if `stop` is set or that ends after `give_up`."""
    while not stop.is_set() and (pause := gate.closed_for() + seconds):
        if time.monotonic() + pause > give_up:
            return False
        stop.wait(pause)
        seconds = 0.0  # it may have been closed again meanwhile
    return not stop.is_set()


def _attempted(attempt: Callable[[], T]) -> T:
    """The result of `attempt`. Raises CacheBusy for what this machine lacks only at the moment."""
    try:
        return attempt()
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        raise CacheBusy("this machine starts no further thread at the moment") from error
    except MemoryError as error:
        raise CacheBusy("this machine has no memory left at the moment") from error
    except OSError as error:
        if error.errno not in FOR_NOW:
            raise
        raise CacheBusy(f"this machine: {one_line(error)}") from error
