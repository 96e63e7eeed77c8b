"""How long a busy cache wants to be left alone: the Retry-After of its answer, which obstore does not show.

After a 429 or a 503 one question of our own is asked, however many threads were turned away, and its header read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from ..system.net import seconds_to_wait, tls_context

_TIMEOUT: Final = 10.0  # seconds for the question
_FRESH: Final = 1.0  # seconds that its answer stands for other threads


class Patience:
    """`place` gives the URL where an object can be asked for with HEAD."""

    def __init__(self, place: Callable[[str], str], environ: Mapping[str, str]) -> None:
        self._place, self._environ = place, environ
        self._lock = threading.Lock()
        self._until = 0.0
        self._asked = float("-inf")

    def asked_for(self, name: str) -> float:
        """Seconds from now; 0 when the cache does not say, or is not busy any more."""
        with self._lock:
            if time.monotonic() > max(self._until, self._asked + _FRESH):
                self._until = self._ask(name)
                self._asked = time.monotonic()
            return max(0.0, self._until - time.monotonic())

    def _ask(self, name: str) -> float:
        import urllib.error
        import urllib.request

        try:
            request = urllib.request.Request(self._place(name), method="HEAD")  # noqa: S310
            urllib.request.urlopen(request, timeout=_TIMEOUT, context=tls_context(self._environ)).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            error.close()
            return time.monotonic() + seconds_to_wait(error.headers.get("Retry-After"))
        except Exception:
            return 0.0  # it is only a courtesy: a cache that cannot be asked is waited for as long as we think right
        return 0.0
