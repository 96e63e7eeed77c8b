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
from ..retry import retrying
from .keys import keys_of_archive
from .packs import Sender
from .service import ActionsService

BIG: Final = 128 << 20  # bytes of a NAR
_PATIENCE: Final = 20.0  # seconds for the question whether another job has finished it


class BigArchives:
    """Used from many threads at once. Methods raise what iterating raises, ReadOnly, CacheError and CacheBusy."""

    def __init__(self, service: ActionsService, sender: Sender) -> None:
        self._service, self._sender = service, sender
        self._lock = threading.Lock()
        self._never = threading.Event()
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

    @property
    def waiting(self) -> list[str]:
        """The names of the archives that must wait."""
        with self._lock:
            return [*self._waiting]

    def settle(self, name: str) -> tuple[str, int]:
        """The entry of an archive that had to wait, as `put` returns it. It waits no more, even if this raises."""
        with self._lock:
            body, size = self._waiting.pop(name)
        keys = keys_of_archive(name)
        found = retrying(lambda: self._found(keys), self._never, longest=_PATIENCE)
        return found if found and found[1] == size else self._new(name, keys[1:], body)

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
