"""A bucket or a directory as those use it who list it and delete from it: `gc`, `pin`, `stats`, `sign` and `check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import obstore

from ..errors import CacheBusy, CacheError
from ..nix.store_url import CacheUrl
from . import conditional, deletion
from .bucket import Bucket
from .http_status import INFO, Conflict, does_not_exist
from .obstore_client import ARCHIVE, READING, Opener
from .protocol import Stored

_PAGE: Final = 1000  # names, as many as S3 gives at once


class CollectableBucket(Bucket):
    """What makes it `Collectable`, `Listed` and `Erasable`."""

    def __init__(self, url: CacheUrl, opener: Opener, environ: Mapping[str, str], *more: Any) -> None:
        super().__init__(url, opener, environ, *more)
        self._deletion = deletion.Deletion(self.where, environ)

    def names(self) -> Iterator[str]:
        return (each.name for each in self.objects())

    def remove(self, name: str) -> None:
        with self._translated_errors(name):
            self._deletion.delete(self.store, name)

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
