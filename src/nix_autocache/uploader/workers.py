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
_LONGEST_WAIT: Final = 20.0


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


def retrying(
    attempt: Callable[[], T],
    stop: threading.Event,
    *,
    longest: float = LONGEST,
    tell: Callable[[CacheBusy], None] = lambda _: None,
) -> T:
    """The result of `attempt`, made again while the cache is busy: exponential backoff with full jitter.

    Raises the last CacheBusy after `longest` seconds, or at once when `stop` is set; `tell` hears of the others.
    """
    give_up = time.monotonic() + longest
    wait = _FIRST_WAIT
    while True:
        try:
            return attempt()
        except CacheBusy as error:
            tell(error)
            pause = max(random.uniform(0, wait), error.retry_after)
            if time.monotonic() + pause > give_up or stop.wait(pause):
                raise
            wait = min(wait * 2, _LONGEST_WAIT)
