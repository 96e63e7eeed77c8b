"""The objects of a cache as Nix gets them: while the cache is in trouble, it seems to have none.

Nix aborts a build when a substituter answers with an error, and goes on when an object is missing.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from ...caches.http_status import INFO
from ...caches.protocol import Content, ObjectCache
from ...errors import CacheBusy, CacheError, one_line
from ...nix.store import HASH_PART
from ...system import log
from ..presence import decoded

T = TypeVar("T")

# All that Nix asks for; source: binary-cache-store.cc and the narinfo's URL field.
_NAME = re.compile(
    r"nix-cache-info|[0-9a-z]{32}\.(narinfo|ls)|nar/[0-9A-Za-z][0-9A-Za-z._?=-]*"
    r"|realisations/sha256:[0-9a-f]{64}![0-9A-Za-z+._?=-]+\.doi"
)
_MAX_FAILURES: Final = 16  # objects in a row without an answer: then the cache is in trouble, even if it seems well
_PAUSE: Final = 30.0  # seconds for which a cache in trouble is not asked
_AHEAD_PAUSE: Final = 5.0  # seconds without fetching ahead after a failure of it: the cache may ask for less
_QUIET: Final = 20.0  # seconds without a request after which servers have closed connections
_EARLY: Final = 4  # connections that are opened after that
_MANY: Final = 32  # connections that are opened at the beginning
_FEW: Final = 4  # objects for which one connection is as fast as four
BY_QUESTION: Final = 64 << 10  # bytes of an archive that `get` reads: its connections are open already


class CacheObjects:
    """Used from many threads at once. `missing` is called with the name of each object that the cache does not have.

    If Nix itself asked for it, so is `missed`, and with the time of `time.monotonic` when the cache was asked. `passed`
    makes of the content of a small object what Nix is given; None for nothing.
    """

    def __init__(
        self,
        cache: ObjectCache,
        missing: Callable[[str], object],
        missed: Callable[[str, float], None] = lambda *_: None,
        passed: Callable[[str, bytes], bytes | None] | None = None,
    ) -> None:
        self._cache = cache
        self._passed = passed or _readable
        self._missing = missing
        self._missed = missed
        self._closed_until = 0.0
        self._ahead_again = 0.0
        self._failures = 0
        self._asked = float("-inf")
        self._info: bytes | None = None

    def open(self, name: str) -> Content | None:
        """None if it is missing, cannot be read now, or is nothing that Nix asks for."""
        if name.startswith("nar/"):
            return self._found(name, self._cache.open)
        text = self.get(name)
        return Content.of_found(text)

    def begin(self) -> None:
        """Be ready for many questions, and read what Nix asks for first; if that fails, it is read when Nix asks."""
        self._asked = time.monotonic()
        self._cache.open_connections(_MANY)
        with suppress(CacheError, CacheBusy):
            self._info = self._ask(INFO, self._cache.get)

    def open_now(self, name: str) -> Content | None:
        """Of a cache only that is here."""
        return Content.of_found(self._info) if name == INFO else None

    def get(self, name: str) -> bytes | None:
        """As `open`, but the whole of a small object."""
        return self._given(name, self._found(name, self._cache.get))

    def rest(self) -> None:
        """Nothing is asked for a while."""
        self._cache.close_connections()

    def exists(self, name: str) -> bool:
        return bool(self._found(name, self._cache.exists))

    @property
    def may_fetch_ahead(self) -> bool:
        """False while the cache is in trouble, or after a failure to fetch ahead."""
        return time.monotonic() >= max(self._closed_until, self._ahead_again)

    def get_ahead(self, name: str) -> bytes | None:
        """A small object that Nix has not asked for. A failure is raised, and is none of those that close the cache."""
        return self._given(name, self._ahead(name, self._cache.get))

    @property
    def together(self) -> int:
        """How many small objects one thread best asks for."""
        return self._cache.together

    def share(self, count: int) -> int:
        """The same if `count` are to be asked for, so that all connections have some."""
        return min(self.together, max(_FEW, math.ceil(count / _MANY)))

    def get_many(self, names: Sequence[str], *, ahead: bool) -> Mapping[str, bytes | None]:
        """Small objects that Nix has asked for, or will. Those without a plain answer are left out: ask for each."""
        asked = time.monotonic()
        if len(names) < 2 or asked < self._closed_until or not all(map(_NAME.fullmatch, names)):
            return {}
        self._asked = asked
        found = {name: text for name, text in self._cache.get_many(names).items() if _is_of(name, text)}
        for name in [name for name, text in found.items() if text is None]:
            self._missing(name)
            if not ahead:
                self._missed(name, asked)
        return {name: self._given(name, text) for name, text in found.items()}

    def open_ahead(self, name: str, size: int) -> Content | None:
        """As `get_ahead`, for an archive of about this size."""
        if size > BY_QUESTION:
            return self._ahead(name, self._cache.open)
        text = self._ahead(name, self._cache.get)
        return Content.of_found(text)

    def pause_ahead(self) -> None:
        self._ahead_again = time.monotonic() + _AHEAD_PAUSE

    def _given(self, name: str, text: bytes | None) -> bytes | None:
        return None if text is None else self._passed(name, text)

    def _ahead(self, name: str, ask: Callable[[str], T | None]) -> T | None:
        if not _NAME.fullmatch(name):
            return None
        try:
            return self._ask(name, ask)
        except CacheBusy:
            self.pause_ahead()
            raise

    def _found(self, name: str, ask: Callable[[str], T | None]) -> T | None:
        if not _NAME.fullmatch(name) or time.monotonic() < self._closed_until:
            return None
        asked = time.monotonic()
        try:
            found = self._ask(name, ask)
            self._failures = 0
            if found is None:
                self._missed(name, asked)
            return found
        except CacheBusy as error:
            self._closed_until = time.monotonic() + _PAUSE
            self._failures += 1
            if name != INFO and self._failures < _MAX_FAILURES and self._is_well():
                self._closed_until = 0.0
            else:
                log.line(f"the cache is not asked for {_PAUSE:g} s: {one_line(error)}")
        except CacheError:
            pass  # only this object is refused, and any user can ask for a strange one
        return None

    def _ask(self, name: str, ask: Callable[[str], T | None]) -> T | None:
        quiet, self._asked = time.monotonic() - self._asked, time.monotonic()
        if quiet > _QUIET:
            self._cache.open_connections(_EARLY)
        found = ask(name)
        if found is None:
            self._missing(name)
        return found

    def _is_well(self) -> bool:
        """True if the cache answers for nix-cache-info: somebody may have written one object that leads nowhere."""
        try:
            self._cache.get(INFO)
        except CacheBusy:
            return False
        except CacheError:
            pass  # a refusal is an answer, too
        return True


def _is_of(name: str, text: bytes | None) -> bool:
    """False for a narinfo of another path: nothing else tells that the answers came in order."""
    return text is None or not name.endswith(".narinfo") or b"/" + name[:HASH_PART].encode() in text


def _readable(name: str, text: bytes) -> bytes | None:
    return decoded(text).encode() if name.endswith(".narinfo") else text
