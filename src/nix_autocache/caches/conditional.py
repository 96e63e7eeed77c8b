"""Puts an object only if nobody else has put it meanwhile: the collector's lock.

Services compare ETags (RFC 9110, 13.1). Google compares generations instead, so the present one is asked for first. A
directory has neither, so there a lock of the file system is held meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions
from obstore.store import GCSStore, LocalStore

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode
    from obstore.store import ObjectStore


def put(store: ObjectStore, name: str, content: bytes, etag: str | None) -> None:
    """Put an object if the present one has this ETag; with None, if there is none.

    Raises AlreadyExistsError or PreconditionError of obstore if that is not so, and its other errors.
    """
    if etag is not None and isinstance(store, LocalStore):
        with _locked(Path(str(store.prefix)) / name):
            _present(store, name, etag)
            obstore.put(store, name, content, use_multipart=False)
        return
    mode: PutMode = "create" if etag is None else {"e_tag": etag}
    if etag is not None and isinstance(store, GCSStore):
        mode = {"e_tag": etag, "version": _present(store, name, etag)["version"] or ""}
    obstore.put(store, name, content, mode=mode, use_multipart=False)


def _present(store: ObjectStore, name: str, etag: str) -> ObjectMeta:
    """The object that is there, if it has this ETag. Raises PreconditionError if not."""
    with suppress(FileNotFoundError):
        found = obstore.head(store, name)
        if found["e_tag"] == etag:
            return found
    raise exceptions.PreconditionError(f"{name} was changed")


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Holds the folder of a file locked. Raises OSError."""
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
