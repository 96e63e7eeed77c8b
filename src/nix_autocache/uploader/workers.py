"""Threads for requests, and a budget for their memory: what the drain's tasks run on.

The threads are daemons: a program that must end within its deadline does not wait for a request.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..system import log


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
