"""Threads for requests that run beside each other. They are daemons: no program waits for them at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from ...errors import CacheBusy, CacheError

T = TypeVar("T")

_AT_ONCE: Final = 8


def start(task: Callable[[], object], name: str) -> None:
    """Run a task in a thread of its own; in this one where the machine starts no further thread."""
    thread = threading.Thread(target=task, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        task()


def together(tasks: Sequence[Callable[[], T]]) -> list[T | CacheBusy | CacheError]:
    """What the tasks return or raise, in their order. At most eight run at a time, one of them in this thread."""
    results: dict[int, T | CacheBusy | CacheError] = {}
    numbers = iter(range(len(tasks)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                results[number] = tasks[number]()
            except (CacheBusy, CacheError) as error:
                results[number] = error

    threads = [threading.Thread(target=work, name="lookup", daemon=True) for _ in tasks[1:_AT_ONCE]]
    started = []
    for thread in threads:
        try:
            thread.start()
            started.append(thread)
        except RuntimeError:
            break
    work()
    for thread in started:
        thread.join()
    gone = CacheBusy("a request ended in an unexpected way")
    return [results.get(number, gone) for number in range(len(tasks))]
