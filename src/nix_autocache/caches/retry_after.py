"""How long to wait for a busy cache: the Retry-After of its answer, which obstore does not show.

After a 429 or a 503 we send one request of our own, however many threads were refused, and read its header.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from ..system.net import seconds_to_wait, tls_context

_TIMEOUT: Final = 10.0  # seconds for the request
_FRESH: Final = 1.0  # seconds that other threads use its answer


class RetryAfter:
    """`url_of` gives the URL for a HEAD request for an object's name."""

    def __init__(self, url_of: Callable[[str], str], environ: Mapping[str, str]) -> None:
        self._url_of, self._environ = url_of, environ
        self._lock = threading.Lock()
        self._until = 0.0
        self._asked = float("-inf")

    def seconds(self, name: str) -> float:
        """Seconds from now; 0 if the cache does not say, or is not busy any more."""
        with self._lock:
            if time.monotonic() > max(self._until, self._asked + _FRESH):
                self._until = self._ask(name)
                self._asked = time.monotonic()
            return max(0.0, self._until - time.monotonic())

    def _ask(self, name: str) -> float:
        import urllib.error
        import urllib.request

        try:
            request = urllib.request.Request(self._url_of(name), method="HEAD")  # noqa: S310
            urllib.request.urlopen(request, timeout=_TIMEOUT, context=tls_context(self._environ)).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            error.close()
            return time.monotonic() + seconds_to_wait(error.headers.get("Retry-After"))
        except Exception:
            return 0.0  # only a courtesy: without an answer our own backoff decides
        return 0.0
