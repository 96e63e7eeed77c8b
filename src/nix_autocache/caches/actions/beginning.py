"""What a process begins with: the indexes, which are looked up once, or which the job's other process has looked up."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final, NoReturn

from ...errors import CacheBusy, CacheError, one_line
from ..retry import retrying
from .lookups import Found

PATIENCE: Final = 10.0  # seconds for the lookups: Nix waits for them
PAUSE: Final = 30.0  # seconds without another attempt


class Silent(CacheBusy):
    """The lookups were tried for long enough: a path is left to the next flush, and nobody waits for it."""

    longest = 0.0


class Beginning:
    """`look_up` is called by the first who needs it, and `taken` with what was found. For any thread."""

    def __init__(self, look_up: Callable[[], Found], taken: Callable[[Found], None]) -> None:
        self._look_up, self._taken = look_up, taken
        self._lock = threading.Lock()
        self._refused: CacheError | CacheBusy | None = None
        self._refused_until = 0.0  # on the clock of `time.monotonic`
        self._never = threading.Event()
        self.found: Found | None = None

    def load(self) -> Found:
        """What was found, looked up if it was not.

        What the service refused is raised again without a request; if it was busy, for some seconds, since many may
        wait here.
        """
        with self._lock:
            if self.found:
                return self.found
            if self._refused and time.monotonic() < self._refused_until:
                raise self._refused
            try:
                found = retrying(self._look_up, self._never, longest=PATIENCE)
            except CacheBusy as error:
                self._refuse(Silent(one_line(error)), PAUSE)
            except CacheError as error:
                self._refuse(error, math.inf)
            return self._begin(found)

    def _refuse(self, error: CacheError | CacheBusy, seconds: float) -> NoReturn:
        self._refused, self._refused_until = error, time.monotonic() + seconds
        raise error from None

    def learn(self, found: Found) -> None:
        """Begin with what another process has found, unless it was looked up here."""
        with self._lock:
            if not self.found:
                self._begin(found)

    def _begin(self, found: Found) -> Found:
        """The caller holds the lock."""
        self._taken(found)
        self.found = found
        return found
