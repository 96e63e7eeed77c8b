"""An `ObjectCache` in anything that obstore can open. Its openers are `directory`, `s3`, `gcs` and `azure`.

Only obstore's blocking calls are used, from threads: they release the interpreter, and its asynchronous ones can
abort the process at exit (0.12.1).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import obstore
from obstore import exceptions
from obstore.store import LocalStore

from ..errors import CacheBusy, CacheError, CredentialsError, Error
from ..nix.store_url import CacheUrl
from . import conditional, deletion
from .http1 import LARGEST
from .http_status import INFO, Conflict, does_not_exist, is_absent, is_stored_anyway
from .obstore_client import ARCHIVE, QUESTION, READING, STREAM, Limits, Opener, signed_url
from .obstore_errors import Errors, describe
from .protocol import Body, Content, Stored, VisibleAtOnce
from .retry_after import RetryAfter

if TYPE_CHECKING:
    from obstore import BytesStream
    from obstore.store import ObjectStore

    from .aws_credentials import AwsCredentials

PART: Final = 8 << 20  # bytes; S3 allows 10,000 parts, so 80 GB in one archive
_PIECE: Final = 1 << 20  # bytes at least, when reading
_AT_ONCE: Final = 2  # parts of one archive in flight
_EARLY: Final = 4  # connections at most that are opened for archives that are streams
_PAGE: Final = 1000  # names, as many as S3 gives at once
_SMALL: Final = 64 << 10  # bytes that can be sent in the time of a question


class ObjectStoreCache(VisibleAtOnce):
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

    def get(self, name: str) -> bytes | None:
        with self._absences(name), self._translated_errors(name):
            found = obstore.get(self.store, name)
            if found.meta["size"] > LARGEST:
                raise CacheError(f"{self.where}: {name} is larger than the {LARGEST >> 20} MB that it can have")
            return bytes(found.bytes())
        return None

    @property
    def together(self) -> int:
        return 1

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        return {}

    def open(self, name: str) -> Content | None:
        with self._absences(name), self._translated_errors(name):
            found = obstore.get(self.store_for(READING), name)
            return Content(found.meta["size"], self._pieces(name, found.stream(_PIECE)))
        return None

    def _pieces(self, name: str, stream: BytesStream) -> Iterator[bytes]:
        with self._translated_errors(name):
            for piece in stream:
                yield bytes(piece)

    def _rest(self, name: str, offset: int) -> Iterator[bytes]:
        """What comes after the first `offset` bytes of an object."""
        with self._translated_errors(name):
            found = obstore.get(self.store_for(READING), name, options={"range": {"offset": offset}})
            yield from self._pieces(name, found.stream(_PIECE))

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

    def names(self) -> Iterator[str]:
        with self._translated_errors(INFO):
            for page in obstore.list(self.store_for(READING), chunk_size=_PAGE):
                yield from (each["path"] for each in page)

    def remove(self, name: str) -> None:
        with self._translated_errors(name):
            deletion.delete(self.store, self.where, name, self._errors.environ)

    def objects(self, folder: str = "") -> Iterator[Stored]:
        with self._translated_errors(INFO):
            for page in obstore.list(self.store_for(READING), folder or None, chunk_size=_PAGE):
                for each in page:
                    etag, modified = each["e_tag"] or "", each["last_modified"].timestamp()
                    yield Stored(each["path"], each["size"], etag, modified)

    def delete(self, names: Sequence[str]) -> Mapping[str, str]:
        # Nobody says which of them failed, and Azure fails for a name that does not exist.
        with suppress(CacheError, CacheBusy, FileNotFoundError), self._translated_errors(INFO):
            deletion.delete_many(self.store_for(ARCHIVE), names)
            return {}
        return deletion.delete_each(names, self.remove)

    def put_if(self, name: str, content: bytes, etag: str | None) -> bool:
        try:
            with self._translated_errors(name):
                conditional.put(self.store, name, content, etag)
        except FileNotFoundError:
            raise does_not_exist(self.where) from None
        except Conflict:
            return False
        return True

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
    kind: type[ObjectStoreCache] = ObjectStoreCache,
) -> ObjectStoreCache:
    """The cache that an opener opens. Raises CacheError if the parameters of the URL do not fit together."""
    try:
        opener = make_opener()
        opener(QUESTION)
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise CacheError(f"cannot open {url.without_params}: {describe(error)}") from None
    return kind(url, opener, environ, credentials, bucket_region)
