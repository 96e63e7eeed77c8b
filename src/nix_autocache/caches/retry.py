"""Retries against a cache that is busy: exponential backoff, and a gate that obeys its Retry-After for all threads."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from ..errors import CacheBusy, CacheError, one_line
from ..nix.nar import FOR_NOW

T = TypeVar("T")

LONGEST: Final = 300.0  # seconds that one path may be tried for
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 8.0  # seconds: a flush that begins now shall not wait long for older retries


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
            if time.monotonic() >= begun + busy.longest:
                raise CacheError(f"{busy}{busy.advice}") from None
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
