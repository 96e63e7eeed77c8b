"""Puts an object only if nobody else has put it meanwhile: the collector's lock.

Services compare ETags (RFC 9110, 13.1). A directory has none, so there a lock of the file system is held meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions
from obstore.store import LocalStore

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import ObjectStore


def put(store: ObjectStore, name: str, content: bytes, etag: str | None) -> None:
    """Put an object if the present one has this ETag; with None, if there is none.

    Raises AlreadyExistsError or PreconditionError of obstore if that is not so, and its other errors.
    """
    mode: PutMode = "create" if etag is None else {"e_tag": etag}
    if etag is None or not isinstance(store, LocalStore):
        obstore.put(store, name, content, mode=mode, use_multipart=False)
        return
    with _locked(Path(str(store.prefix)) / name):
        try:
            found = obstore.head(store, name)["e_tag"]
        except FileNotFoundError:
            found = None
        if found != etag:
            raise exceptions.PreconditionError(f"{name} was changed")
        obstore.put(store, name, content, use_multipart=False)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Holds the folder of a file locked. Raises OSError."""
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
