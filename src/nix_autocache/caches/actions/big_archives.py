"""Archives that are entries of their own: they are found by their content, so that all jobs share them.

Another job may be uploading the same one just now, or may have been killed at it: its key is taken, and nobody finds
it. Such an archive is looked up once more when everything else is sealed, and only then uploaded under another key.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Final

from ...errors import CacheError
from ..protocol import Body
from .keys import keys_of_archive
from .packs import Sender
from .service import ActionsService

BIG: Final = 128 << 20  # bytes of a NAR


class BigArchives:
    """Used from many threads at once. Methods raise what iterating raises, ReadOnly, CacheError and CacheBusy."""

    def __init__(self, service: ActionsService, sender: Sender) -> None:
        self._service, self._sender = service, sender
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[Body, int]] = {}

    def put(self, name: str, body: Body) -> tuple[str, int]:
        """The key and the size of the archive's entry, which is finished. The key is empty if it must wait."""
        keys = keys_of_archive(name)
        found = self._found(keys)
        if found is None:
            if uploaded := self._uploaded(keys[:1], body):
                return uploaded
            size = _size(body)
            with self._lock:
                self._waiting[name] = (body, size)
            return "", size
        size = _size(body)
        return (found[0], size) if found[1] == size else self._new(name, keys[1:], body)

    def settle(self) -> dict[str, tuple[str, int]]:
        """The entries of all that had to wait, by the names of the archives."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        settled = {}
        for name, (body, size) in waiting.items():
            keys = keys_of_archive(name)
            found = self._found(keys)
            settled[name] = found if found and found[1] == size else self._new(name, keys[1:], body)
        return settled

    def _new(self, name: str, keys: Sequence[str], body: Body) -> tuple[str, int]:
        if uploaded := self._uploaded(keys, body):
            return uploaded
        raise CacheError(f"{name}: every key that it can have in the Actions cache is taken")

    def _found(self, keys: Sequence[str]) -> tuple[str, int] | None:
        """The newest entry with one of these keys, which begin alike, and its size."""
        located = self._service.find(keys[:1])
        part = self._service.read(located.url, 0, 1) if located and located.key in keys else None
        return (located.key, part.total) if located and part else None

    def _uploaded(self, keys: Sequence[str], body: Body) -> tuple[str, int] | None:
        """None if all these keys are taken."""
        for key in keys:
            if pack := self._sender.pack_named(key):
                for piece in _pieces(body):
                    pack.append(piece)
                pack.finish()
                return key, pack.size
        return None


def _pieces(body: Body) -> Iterable[bytes]:
    return [body] if isinstance(body, bytes) else body


def _size(body: Body) -> int:
    return sum(map(len, _pieces(body)))
