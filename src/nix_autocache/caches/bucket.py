"""A bucket or a directory that obstore opens: its clients, its credentials and its errors, for what asks it.

Only obstore's blocking calls are used, from threads: they release the interpreter, and its asynchronous ones can
abort the process at exit (0.12.1).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import obstore
from obstore import exceptions

from ..errors import CacheBusy, CredentialsError, Error
from ..nix.store_url import CacheUrl
from .http_status import INFO
from .obstore_client import QUESTION, READING, Limits, Opener, signed_url
from .obstore_errors import Errors
from .retry_after import RetryAfter

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from .aws_credentials import AwsCredentials

_EARLY: Final = 4  # connections at most that are opened for archives that are streams


class Bucket:
    """`opener` opens a store with given limits. `bucket_region` is the region that S3 is asked in.

    `credentials` are refreshed once when a request is refused, and the request is then an error to retry.
    """

    def __init__(
        self,
        url: CacheUrl,
        opener: Opener,
        environ: Mapping[str, str],
        credentials: AwsCredentials | None = None,
        bucket_region: str = "",
    ) -> None:
        self.where = url.without_params
        self._credentials = credentials
        retry_after = RetryAfter(lambda name: signed_url(self.store, name, "HEAD"), environ)
        self._errors = Errors(
            where=self.where,
            retry_after=retry_after,
            environ=environ,
            sign=lambda name: signed_url(self.store, name, "GET"),
            bucket_region=bucket_region,
        )
        # obstore keeps the credentials that it was given: refreshed ones need another store.
        self._opened = lru_cache(maxsize=4)(lambda limits, refreshes: opener(limits))

    def store_for(self, limits: Limits) -> ObjectStore:
        return self._opened(limits, self._credentials.refreshes if self._credentials else 0)

    @property
    def store(self) -> ObjectStore:
        return self.store_for(QUESTION)

    def open_connections(self, count: int) -> None:
        for limits in (*[QUESTION] * count, *[READING] * min(count, _EARLY)):
            with suppress(RuntimeError):  # this machine starts no further thread at the moment
                threading.Thread(target=self._connect, args=[limits], name="connect", daemon=True).start()

    def close_connections(self) -> None:
        self._opened.cache_clear()  # each client closes its connections when the last request has ended

    def _connect(self, limits: Limits) -> None:
        with suppress(exceptions.BaseError, OSError):  # the first request raises it again
            obstore.head(self.store_for(limits), INFO)

    @contextmanager
    def _translated_errors(self, name: str) -> Iterator[None]:
        """Raises obstore's errors as ours. FileNotFoundError passes: its meaning depends on the request."""
        refreshes = self._credentials.refreshes if self._credentials else 0
        try:
            if self._credentials:
                self._credentials.frozen()  # refreshed here, so that its failure is not taken for the cache's
            yield
        except (FileNotFoundError, Error):
            raise
        except (exceptions.BaseError, OSError) as error:
            raise self._refreshed(refreshes, self._errors.translate(name, error)) from None

    def _refreshed(self, refreshes: int, error: Error) -> Error:
        """Turns a refusal into an error to retry, if newer credentials can be tried."""
        if self._credentials and isinstance(error, CredentialsError) and self._credentials.refresh(refreshes):
            return CacheBusy(f"{error} (tried again with new ones)")
        return error
