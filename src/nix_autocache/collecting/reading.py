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
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for start in range(0, len(names), _AT_ONCE):
            together = names[start : start + _AT_ONCE]
            yield from zip(together, pool.map(read, together), strict=True)


def read_all(cache: ObjectCache, wanted: Iterable[tuple[str, Key]]) -> Iterator[tuple[Key, bytes | None]]:
    """The contents of many small objects, each with its key. Raises CacheError and CacheBusy."""
    waiting: deque[tuple[Key, Future[bytes | None]]] = deque()
    stop, gate = threading.Event(), Gate()
    with ThreadPoolExecutor(_SMALL_AT_ONCE) as pool:
        try:
            for name, key in wanted:
                attempt = partial(cache.get, name)
                waiting.append((key, pool.submit(retrying, attempt, stop, longest=_LONGEST, gate=gate)))
                if len(waiting) > 4 * _SMALL_AT_ONCE:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            stop.set()
            for _, each in waiting:
                each.cancel()
