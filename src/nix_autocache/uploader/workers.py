"""Threads for requests, a budget for their memory, and retries: what the drain's tasks run on.

The threads are daemons: a program that must end within its deadline does not wait for a request.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from ..errors import CacheBusy

T = TypeVar("T")

LONGEST: Final = 300.0  # seconds that one path may be tried for
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 8.0  # a flush that begins now shall not wait long for those who gave up hope


class Workers:
    """`count` threads that run what is submitted: first what is urgent, else in the order of submission."""

    def __init__(self, count: int) -> None:
        self._urgent: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._submitted = threading.Semaphore(0)
        for number in range(count):
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True).start()

    def submit(self, task: Callable[[], None], *, urgent: bool = False) -> None:
        (self._urgent if urgent else self._tasks).put(task)
        self._submitted.release()

    def _work(self) -> None:
        while True:
            self._submitted.acquire()
            try:
                task = self._urgent.get_nowait()
            except Empty:
                task = self._tasks.get()
            task()


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
    """Closed while the cache wants to be left alone; the requests of all threads go through it."""

    def __init__(self) -> None:
        self._opens = 0.0

    def close(self, seconds: float) -> None:
        self._opens = max(self._opens, time.monotonic() + seconds)

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
    give_up = time.monotonic() + longest
    wait, jitter = _FIRST_WAIT, 0.0
    error = CacheBusy("the cache was not asked any more")
    while True:
        if stop.is_set():
            raise error
        while pause := gate.closed_for() + jitter:
            if time.monotonic() + pause > give_up or stop.wait(pause):
                raise error
            jitter = 0.0
        try:
            return attempt()
        except CacheBusy as busy:
            error = busy
            tell(busy)
            gate.close(busy.retry_after)
        jitter = random.uniform(0, wait)
        wait = min(wait * 2, _LONGEST_WAIT)
