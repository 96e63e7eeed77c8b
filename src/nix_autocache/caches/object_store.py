"""An `ObjectCache` in anything that obstore can open. Its openers are `directory`, `s3`, `gcs` and `azure`.

`bucket` says how requests are made, `collectable_bucket` has what deletes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import obstore
from obstore import exceptions
from obstore.store import LocalStore

from ..errors import CacheError, CredentialsError, Error
from ..nix.store_url import CacheUrl
from .collectable_bucket import CollectableBucket
from .http1 import LARGEST
from .http_status import does_not_exist, is_absent, is_stored_anyway
from .obstore_client import ARCHIVE, QUESTION, READING, STREAM, Opener
from .obstore_errors import describe
from .protocol import Body, Collectable, Content, Erasable, Listed, VisibleAtOnce

if TYPE_CHECKING:
    from obstore import BytesStream

    from .aws_credentials import AwsCredentials

PART: Final = 8 << 20  # bytes; S3 allows 10,000 parts, so 80 GB in one archive
_PIECE: Final = 1 << 20  # bytes at least, when reading
_AT_ONCE: Final = 2  # parts of one archive in flight
_SMALL: Final = 64 << 10  # bytes that can be sent in the time of a question


class ObjectStoreCache(CollectableBucket, VisibleAtOnce, Collectable, Listed, Erasable):
    """Reads and puts objects. Its arguments are those of a `Bucket`."""

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

    def _put(self, name: str, body: Body, attributes: dict[str, str] | None) -> None:
        if isinstance(body, bytes):
            store = self.store_for(QUESTION if len(body) <= _SMALL else ARCHIVE)
            obstore.put(store, name, body, attributes=attributes, use_multipart=False)
        else:
            store = self.store_for(STREAM)
            obstore.put(store, name, iter(body), attributes=attributes, chunk_size=PART, max_concurrency=_AT_ONCE)


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
