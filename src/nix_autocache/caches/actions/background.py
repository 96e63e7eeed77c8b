"""Requests that run beside each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from ...errors import CacheBusy, CacheError

T = TypeVar("T")

_AT_ONCE: Final = 8


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


def all_of(results: Iterable[T | CacheBusy | CacheError]) -> list[T]:
    """The results of `together`. Raises the first error among them."""
    found = []
    for result in results:
        if isinstance(result, (CacheBusy, CacheError)):
            raise result
        found.append(result)
    return found
