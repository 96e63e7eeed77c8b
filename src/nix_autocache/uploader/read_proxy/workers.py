"""Threads for what may wait: one more whenever none is free, up to a number, and fewer when there is nothing to do."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

_IDLE: Final = 10.0  # seconds for which a thread waits for the next job

Job: TypeAlias = Callable[[], None]


class Workers:
    """Jobs are begun in order. What they raise is dropped. May be used from any thread."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting = 0  # threads
        self._queued = 0  # jobs that no thread has taken yet

    def start(self, job: Job) -> bool:
        """Have it done. False if no thread can be started for it, and there is none."""
        with self._lock:
            if self._queued >= self._waiting and self._threads < self._most and not self._start_thread():
                return False
            self._queued += 1
        self._jobs.put(job)
        return True

    def _start_thread(self) -> bool:
        """The caller holds the lock."""
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError:  # somebody has used up the threads of this machine
            return self._threads > 0
        self._threads += 1
        return True

    def _work(self) -> None:
        while job := self._next():
            with suppress(Exception):
                job()

    def _next(self) -> Job | None:
        """The next job; None if there was none for a while."""
        with self._lock:
            self._waiting += 1
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE)
            except queue.Empty:
                with self._lock:
                    if not self._queued:
                        self._waiting -= 1
                        self._threads -= 1
                        return None
            else:
                with self._lock:
                    self._waiting -= 1
                    self._queued -= 1
                return job
