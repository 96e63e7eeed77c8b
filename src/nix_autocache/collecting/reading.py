"""Reads many objects, some at the same time: a busy cache has a thousand run records a day."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
_AT_ONCE: Final = 8  # each may be some MB


def read_each(names: Sequence[str], read: Callable[[str], T]) -> Iterator[tuple[str, T]]:
    """The names, each with what was read, in their order. Raises what `read` raises."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for start in range(0, len(names), _AT_ONCE):
            together = names[start : start + _AT_ONCE]
            yield from zip(together, pool.map(read, together), strict=True)
