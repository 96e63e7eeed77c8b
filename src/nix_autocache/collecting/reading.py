"""Reads many objects, some at the same time: a busy cache has a thousand run records a day, and a million narinfos."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from ..caches.protocol import ObjectCache
from ..caches.retry import Gate, retrying

T = TypeVar("T")
Key = TypeVar("Key")
_AT_ONCE: Final = 8  # each may be some MB
_SMALL_AT_ONCE: Final = 32
_LONGEST: Final = 300.0  # seconds that a busy cache is asked for one object


def read_each(names: Sequence[str], read: Callable[[str], T]) -> Iterator[tuple[str, T]]:
    """The names, each with what was read, in their order. Raises what `read` raises."""
    return _read(((name, name) for name in names), read, _AT_ONCE, _AT_ONCE, threading.Event())


def read_all(cache: ObjectCache, wanted: Iterable[tuple[str, Key]]) -> Iterator[tuple[Key, bytes | None]]:
    """The contents of many small objects, each with its key. Raises CacheError and CacheBusy."""
    stop, gate = threading.Event(), Gate()

    def read(name: str) -> bytes | None:
        return retrying(partial(cache.get, name), stop, longest=_LONGEST, gate=gate)

    return _read(wanted, read, _SMALL_AT_ONCE, 4 * _SMALL_AT_ONCE, stop)


def _read(
    wanted: Iterable[tuple[str, Key]], read: Callable[[str], T], at_once: int, ahead: int, stop: threading.Event
) -> Iterator[tuple[Key, T]]:
    """In the order of `wanted`, of which at most `ahead` are waiting or held. Sets `stop` when the rest is not needed,
    before it waits for what is being read."""
    waiting: deque[tuple[Key, Future[T]]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for name, key in wanted:
                waiting.append((key, pool.submit(read, name)))
                if len(waiting) >= ahead:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            stop.set()
            for _, each in waiting:
                each.cancel()
