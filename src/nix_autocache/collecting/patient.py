"""A store whose small requests are made again while it is busy, so that a run of an hour does not end by one answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from ..caches.protocol import Body, Collectable, Content, Stored
from ..caches.retry import retrying

T = TypeVar("T")
_LONGEST: Final = 120.0  # seconds for one request


class Patient(Collectable):
    """Another one, asked again."""

    def __init__(self, cache: Collectable) -> None:
        self._cache, self._never = cache, threading.Event()

    def open_connections(self, count: int) -> None:
        self._cache.open_connections(count)

    def close_connections(self) -> None:
        self._cache.close_connections()

    @property
    def together(self) -> int:
        return self._cache.together

    @property
    def seals(self) -> bool:
        return self._cache.seals

    def seal(self) -> None:
        self._cache.seal()

    def sealed(self, name: str) -> bool:
        return self._cache.sealed(name)

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        return self._cache.get_many(names)

    def get(self, name: str) -> bytes | None:
        return self._again(partial(self._cache.get, name))

    def open(self, name: str) -> Content | None:
        return self._again(partial(self._cache.open, name))

    def exists(self, name: str) -> bool:
        return self._again(partial(self._cache.exists, name))

    def put(self, name: str, body: Body, content_type: str) -> None:
        self._again(partial(self._cache.put, name, body, content_type))

    def put_if(self, name: str, content: bytes, etag: str | None) -> bool:
        return self._cache.put_if(name, content, etag)  # a second one would find the first

    def objects(self, folder: str = "") -> Iterator[Stored]:
        return self._cache.objects(folder)

    def delete(self, names: Sequence[str]) -> Mapping[str, str]:
        return self._again(partial(self._cache.delete, names))

    def _again(self, attempt: Callable[[], T]) -> T:
        return retrying(attempt, self._never, longest=_LONGEST)
