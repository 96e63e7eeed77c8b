"""Deletes objects of a bucket: one by a URL that obstore signs, many by obstore.

obstore's own deletion is S3's DeleteObjects, which answers a refusal with status 200 and a list.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import obstore
from obstore.store import LocalStore

from ..errors import CacheBusy, CacheError, one_line
from ..system.net import tls_context
from .http_status import DENIED, is_absent, status_error
from .obstore_client import signed_url

if TYPE_CHECKING:
    from ssl import SSLContext

    from obstore.store import ObjectStore

_TIMEOUT: Final = 8.0  # seconds
_ENOUGH: Final = 20  # failures
_AT_ONCE: Final = 16


def delete_many(store: ObjectStore, names: Sequence[str]) -> None:
    """Delete objects, as many in a request as the service takes. Raises obstore's errors, without saying for which."""
    if not isinstance(store, LocalStore):
        obstore.delete(store, list(names))
        return
    for name in names:
        with suppress(FileNotFoundError):
            obstore.delete(store, name)


def delete_each(names: Sequence[str], remove: Callable[[str], None]) -> Mapping[str, str]:
    """Delete objects one by one, some at the same time. Returns those that may be there still, with why.

    After many failures the rest is not tried.
    """
    from concurrent.futures import ThreadPoolExecutor  # takes 5 ms and some memory, and uploaders delete nothing

    failed: dict[str, str] = {}

    def attempt(name: str) -> None:
        if len(failed) >= _ENOUGH:
            failed[name] = "not tried, since many others could not be deleted"
            return
        try:
            remove(name)
        except (CacheError, CacheBusy) as error:
            failed[name] = one_line(error)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(attempt, names))
    return failed


class Deletion:
    """Deletes objects of one cache, from many threads.

    Its requests share a TLS context: over HTTPS each would take 10 to 20 ms to make its own.
    """

    def __init__(self, where: str, environ: Mapping[str, str]) -> None:
        self._where, self._environ = where, environ
        self._lock = threading.Lock()
        self._context: SSLContext | None = None

    def delete(self, store: ObjectStore, name: str) -> None:
        """Delete an object. Raises nothing if there is none; CredentialsError if these credentials may not, CacheError,
        CacheBusy, and obstore's errors."""
        if isinstance(store, LocalStore):
            with suppress(FileNotFoundError):
                obstore.delete(store, name)
            return
        import http.client  # as above
        import urllib.error
        import urllib.request

        url = signed_url(store, name, "DELETE")
        request = urllib.request.Request(url, method="DELETE")  # noqa: S310
        try:
            urllib.request.urlopen(request, timeout=_TIMEOUT, context=self._tls_context(url)).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in DENIED or not is_absent(name, error.code):
                raise status_error(self._where, name, error.code, f"status {error.code} to DELETE", 0.0) from None
        except (OSError, http.client.HTTPException) as error:
            raise status_error(self._where, name, 0, one_line(error), 0.0) from None

    def _tls_context(self, url: str) -> SSLContext | None:
        if not url.startswith("https:"):
            return None
        with self._lock:
            if self._context is None:
                self._context = tls_context(self._environ)
            return self._context
