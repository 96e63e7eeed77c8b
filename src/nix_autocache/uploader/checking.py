"""The check whether a cache can be used at all: made once, while the first paths are planned.

It has two stages: `Pusher.check`, before anything is uploaded, and for a new cache `Pusher.confirm`, before anything is
published.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from ..errors import as_error
from .pusher import Pusher

Retrying: TypeAlias = Callable[[Callable[[], Any], float], Any]
"""Makes an attempt again for as long as the cache is busy, at most so many seconds, and returns what it returns."""


class Checking:
    """For any thread. To whoever waits, it raises what the check raised for good."""

    def __init__(self, pusher: Pusher, store_dir: str, retrying: Retrying) -> None:
        self._pusher, self._store_dir, self._retrying = pusher, store_dir, retrying
        self._checked, self._confirmed = _Once(), _Once()

    @property
    def failed(self) -> bool:
        return self._confirmed.failed

    def reset(self) -> None:
        """Forget a check that failed, for another `run`. What is not ended may not be forgotten: others wait for it."""
        self._checked, self._confirmed = _Once(), _Once()

    def run(self) -> None:
        """Make the check. Uploads go on before it is known that a new cache has what it was given."""
        try:
            created = self._retrying(self.once, math.inf)
            self._checked.settle()
            if created:
                self._retrying(self._pusher.confirm, math.inf)
            self._confirmed.settle()
        except BaseException as error:  # what obstore raises when it panics is no Exception
            for each in (self._checked, self._confirmed):
                each.settle(as_error(error))

    def once(self) -> bool:
        """Ask the cache now, see `Pusher.check`."""
        return self._pusher.check(self._store_dir)

    def before_upload(self) -> None:
        self._checked.wait()

    def before_publication(self, timeout: float | None = None) -> None:
        """Wait at most `timeout` seconds."""
        self._confirmed.wait(timeout)


class _Once:
    """A result that other threads wait for: done, or an error."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._error: Exception | None = None

    @property
    def failed(self) -> bool:
        return self._error is not None

    def settle(self, error: Exception | None = None) -> None:
        self._error = error
        self._done.set()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for it, at most `timeout` seconds. Raises the error that it ended with."""
        if self._done.wait(timeout) and self._error:
            raise self._error
