"""An `ObjectCache` in anything that obstore can open. Its openers are `directory`, `s3`, `gcs` and `azure`.

Only obstore's blocking calls are used, from threads: they release the interpreter, and its asynchronous ones can
abort the process at exit (0.12.1).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore import exceptions
from obstore.store import LocalStore

from ..errors import CacheBusy, CacheError, CredentialsError, Error
from ..nix.store_url import CacheUrl
from .http1 import LARGEST
from .http_status import INFO, connection_error, does_not_exist, is_absent, is_stored_anyway
from .obstore_client import ARCHIVE, QUESTION, READING, STREAM, Limits, Opener, signed_url
from .obstore_errors import Errors, describe
from .protocol import Body, Content, VisibleAtOnce
from .retry_after import RetryAfter
from .signed_reads import SignedReads

if TYPE_CHECKING:
    from obstore import BytesStream
    from obstore.store import ObjectStore

    from .aws_credentials import AwsCredentials

PART: Final = 8 << 20  # bytes; S3 allows 10,000 parts, so 80 GB in one archive
_PIECE: Final = 1 << 20  # bytes at least, when reading
_AT_ONCE: Final = 2  # parts of one archive in flight
_EARLY: Final = 4  # connections at most that are opened for archives that are streams
_SMALL: Final = 64 << 10  # bytes that can be sent in the time of a question
_SIGNED: Final = timedelta(minutes=1)  # for which a URL is good


class ObjectStoreCache(VisibleAtOnce):
    """`opener` opens a store with given limits. `bucket_region` is the region that S3 is asked in.

    `credentials` are refreshed once when a request is refused, and the request is then an error to retry. With
    `reads_signed`, small objects are read as `SignedReads` says.
    """

    def __init__(
        self,
        url: CacheUrl,
        opener: Opener,
        environ: Mapping[str, str],
        credentials: AwsCredentials | None = None,
        bucket_region: str = "",
        *,
        reads_signed: bool = False,
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
        self._signed = SignedReads(self._sign, environ) if reads_signed else None
        # obstore keeps the credentials that it was given: refreshed ones need another store.
        self._opened = lru_cache(maxsize=4)(lambda limits, refreshes: opener(limits))

    def store_for(self, limits: Limits) -> ObjectStore:
        return self._opened(limits, self._credentials.refreshes if self._credentials else 0)

    @property
    def store(self) -> ObjectStore:
        return self.store_for(QUESTION)

    def open_connections(self, count: int) -> None:
        if self._signed:
            with suppress(exceptions.BaseError, OSError, CacheError):  # the first request raises it again
                self._signed.open_connections(INFO, count)
            count = min(count, _EARLY)
        for limits in (*[QUESTION] * count, *[READING] * min(count, _EARLY)):
            with suppress(RuntimeError):  # this machine starts no further thread at the moment
                threading.Thread(target=self._connect, args=[limits], name="connect", daemon=True).start()

    def close_connections(self) -> None:
        if self._signed:
            self._signed.close_connections()
        self._opened.cache_clear()  # each client closes its connections when the last request has ended

    def _connect(self, limits: Limits) -> None:
        with suppress(exceptions.BaseError, OSError):  # the first request raises it again
            obstore.head(self.store_for(limits), INFO)

    def get(self, name: str) -> bytes | None:
        try:
            if name in (read := self._read_signed([name])):
                return read[name]
        except TimeoutError as error:
            raise connection_error(self.where, name, error) from None
        with self._absences(name), self._translated_errors(name):
            found = obstore.get(self.store, name)
            if found.meta["size"] > LARGEST:
                raise CacheError(f"{self.where}: {name} is larger than the {LARGEST >> 20} MB that it can have")
            return bytes(found.bytes())
        return None

    @property
    def together(self) -> int:
        return self._signed.together if self._signed else 1

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        with suppress(TimeoutError):
            return self._read_signed(names)
        return {}

    def _read_signed(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        """Of the first names, those with a plain answer. Raises TimeoutError."""
        found: dict[str, bytes | None] = {}
        if self._signed and INFO not in names:
            try:
                for name, response in self._signed.get(names).items():
                    if response.status == 200:
                        found[name] = response.content
                    elif response.status == 404 or (is_absent(name, response.status) and not self._credentials):
                        found[name] = None
            except TimeoutError:
                raise
            except (exceptions.BaseError, OSError, CacheError):
                pass  # obstore's own request says what it is
        return found

    def _sign(self, names: Sequence[str]) -> Sequence[str]:
        store: Any = self.store  # one that can sign
        return [str(url) for url in obstore.sign(store, "GET", list(names), _SIGNED)]

    def open(self, name: str) -> Content | None:
        if self._signed:
            with suppress(exceptions.BaseError, OSError, CacheError):  # obstore's own request says what it is
                if read := self._signed.open(name):
                    return Content(read.size, self._resumed(name, read))
        with self._absences(name), self._translated_errors(name):
            found = obstore.get(self.store_for(READING), name)
            return Content(found.meta["size"], self._pieces(name, found.stream(_PIECE)))
        return None

    def _resumed(self, name: str, content: Content) -> Iterator[bytes]:
        """The pieces; the rest of them by obstore if the connection breaks."""
        read = 0
        with suppress(OSError):
            for piece in content.pieces:
                read += len(piece)
                yield piece
        if read < (content.size or 0):
            with self._translated_errors(name):
                rest = obstore.get(self.store_for(READING), name, options={"range": {"offset": read}})
                yield from self._pieces(name, rest.stream(_PIECE))

    def _pieces(self, name: str, stream: BytesStream) -> Iterator[bytes]:
        with self._translated_errors(name):
            for piece in stream:
                yield bytes(piece)

    def exists(self, name: str) -> bool:
        with self._absences(name), self._translated_errors(name):
            obstore.head(self.store, name)
            return True
        return False

    @contextmanager
    def _absences(self, name: str) -> Iterator[None]:
        """Ends the block if the error means that there is no such object."""
        try:
            yield
        except FileNotFoundError:
            return
        except CredentialsError:
            if not is_absent(name, 403):
                raise

    def put(self, name: str, body: Body, content_type: str) -> None:
        # A directory cannot keep a content type, and obstore refuses to drop one.
        attributes = None if isinstance(self.store, LocalStore) else {"Content-Type": content_type}
        try:
            with self._translated_errors(name):
                self._put(name, body, attributes)
        except FileNotFoundError:
            raise does_not_exist(self.where) from None
        except Error as error:
            if not is_stored_anyway(self, name, body, error):
                raise

    def _put(self, name: str, body: Body, attributes: dict[str, str] | None) -> None:
        if isinstance(body, bytes):
            store = self.store_for(QUESTION if len(body) <= _SMALL else ARCHIVE)
            obstore.put(store, name, body, attributes=attributes, use_multipart=False)
        else:
            store = self.store_for(STREAM)
            obstore.put(store, name, iter(body), attributes=attributes, chunk_size=PART, max_concurrency=_AT_ONCE)

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


def open_store(
    url: CacheUrl,
    environ: Mapping[str, str],
    make_opener: Callable[[], Opener],
    credentials: AwsCredentials | None = None,
    bucket_region: str = "",
    *,
    reads_signed: bool = False,
) -> ObjectStoreCache:
    """The cache that an opener opens. Raises CacheError if the parameters of the URL do not fit together."""
    try:
        opener = make_opener()
        opener(QUESTION)
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise CacheError(f"cannot open {url.without_params}: {describe(error)}") from None
    return ObjectStoreCache(url, opener, environ, credentials, bucket_region, reads_signed=reads_signed)
