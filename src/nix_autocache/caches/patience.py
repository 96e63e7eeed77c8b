"""How long a busy cache wants to be left alone: the Retry-After of its answer, which obstore does not show.

After a 429 or a 503 one question of our own is asked, however many threads were turned away, and its header read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl

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
            urllib.request.urlopen(request, timeout=_TIMEOUT, context=context(self._environ)).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            error.close()
            return time.monotonic() + seconds(error.headers.get("Retry-After"))
        except Exception:
            return 0.0  # it is only a courtesy: a cache that cannot be asked is waited for as long as we think right
        return 0.0


def seconds(retry_after: str | None) -> float:
    """A Retry-After header's seconds from now; it holds a number of them or a date (RFC 9110, 10.2.3)."""
    if not retry_after:
        return 0.0
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0


def context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Trust in what this environment trusts."""
    import ssl

    return ssl.create_default_context(cafile=environ.get("NIX_SSL_CERT_FILE") or environ.get("SSL_CERT_FILE") or None)
