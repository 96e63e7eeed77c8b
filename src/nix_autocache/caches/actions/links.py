"""The links by which entries of the Actions cache are read: a question for each, whose answer is valid for minutes."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Final

from ...errors import CacheBusy, CacheError
from ..protocol import Content
from .background import all_of, together
from .service import ActionsService, Expired, Located, Part

_FRESH: Final = 540.0  # seconds; GitHub's links are valid for 600


class Links:
    """Used from many threads at once. Its methods raise CacheBusy, and CacheError."""

    def __init__(self, service: ActionsService) -> None:
        self.ignores_ranges = False  # the server sends every entry from its beginning
        self._service = service
        self._lock = threading.Lock()
        self._asking: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._found: dict[str, tuple[str | None, float]] = {}  # the link, and when it was given
        self._refused: dict[str, tuple[CacheBusy | CacheError, float]] = {}  # why there is none, and since when

    def probe(self, located: Located) -> Part | None:
        """The size of an entry that another question found; None if it is gone."""
        self._found[located.key] = (located.url, time.monotonic())
        part = self._service.read(located.url, 0, 1)
        if part and part.ignores_ranges:
            self.ignores_ranges = True
        return part

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of these entries that the service does not have, at most eight asked for at a time."""
        unknown = [key for key in keys if key not in self._found or self._found[key][0] is None]
        found = all_of(together([partial(self._link, key) for key in unknown]))
        return [key for key, url in zip(unknown, found, strict=True) if url is None]

    def stream(self, key: str, start: int, end: int) -> Content | None:
        """The bytes `start` to `end` of an entry, piece by piece; None if it is gone."""
        url = self._link(key)
        try:
            return self._service.stream(url, start, end) if url else None
        except Expired:
            url = self._link(key, refused=url)
            return self._service.stream(url, start, end) if url else None

    def _link(self, key: str, refused: str | None = None) -> str | None:
        """A link that is not the refused one; None if the entry is gone.

        Where the service does not answer, all who wait for this one get its error, not each after a time of its own.
        """
        begun = time.monotonic()
        with self._lock:
            asking = self._asking[key]
        with asking:
            url, when = self._found.get(key, (None, float("-inf")))
            if time.monotonic() - when <= _FRESH and not (refused and url == refused):
                return url
            error, since = self._refused.get(key, (None, begun))
            if error and since > begun:
                raise error
            return self._ask(key)

    def _ask(self, key: str) -> str | None:
        try:
            located = self._service.find([key])
        except (CacheBusy, CacheError) as error:
            self._refused[key] = (error, time.monotonic())
            raise
        url = located.url if located and located.key == key else None
        self._found[key] = (url, time.monotonic())
        return url
