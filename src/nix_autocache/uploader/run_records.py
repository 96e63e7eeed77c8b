"""The run record that a job leaves for the collector, and what goes into it; its format is `caches.run_record`.

It names what the job built, found and fetched. Only the outermost of these paths are roots: what they refer to is kept
with them.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..caches.protocol import Collectable, ObjectCache
from ..caches.run_codec import CONTENT_TYPE, MOST_ROOTS
from ..ci.lane import Lane
from ..errors import StoreError
from ..nix.keys import PublicKey
from ..nix.store import BASE_NAME, HASH_PART, Nix, PathInfo
from ..nix.store_client import StoreClient
from .presence import is_signed

if TYPE_CHECKING:
    from ..caches.run_record import RunName

_NARINFO: Final = re.compile(rf"StorePath: /\S*/({BASE_NAME.pattern})$")
_REFERENCES: Final = "References: "
_OVERLAP: Final = 5  # seconds, in which a path that was just made may be registered


class Roots:
    """Hash parts of the paths that were used, and of those that others of them refer to. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: set[str] = set()
        self._referred: set[str] = set()

    def use(self, infos: Iterable[PathInfo]) -> None:
        for info in infos:
            self._add(info.path.hash_part, (each.hash_part for each in info.references))

    def use_narinfo(self, text: str) -> None:
        """The same for the path of a narinfo, which may be any text."""
        lines = text.split("\n")
        paths = [match[1][:HASH_PART] for line in lines if (match := _NARINFO.match(line))]
        references = next((line for line in lines if line.startswith(_REFERENCES)), "")
        if len(paths) == 1:
            self._add(paths[0], (each[:HASH_PART] for each in references.split(" ")[1:]))

    def outermost(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._used - self._referred)

    def forget(self, outermost: frozenset[str]) -> bool:
        """Forget all, if these are still the outermost: what was used since would be in no record. Returns whether."""
        with self._lock:
            if self._used - self._referred != outermost:
                return False
            self._used, self._referred = set(), set()
            return True

    def _add(self, hash_part: str, references: Iterable[str]) -> None:
        with self._lock:
            if len(self._used) < MOST_ROOTS:
                self._used.add(hash_part)
                self._referred.update(each for each in references if each != hash_part)


class RunRecords:
    """Writes the record of `lane`, none without one. An uploader that runs for months writes one a day."""

    def __init__(self, lane: Lane | None = None, clock: Callable[[], float] = time.time) -> None:
        self._lane, self._clock = lane, clock
        self._lock = threading.Lock()
        self._name: RunName | None = None
        self._written: frozenset[str] = frozenset()

    def are_left_in(self, cache: ObjectCache) -> bool:
        """False for a cache that no collector can be for."""
        return self._lane is not None and isinstance(cache, Collectable)

    def write(self, cache: ObjectCache, roots: Roots) -> None:
        """Write what was used since the record was begun, unless that was done already. Raises as `ObjectCache.put`."""
        if self._lane is None or not self.are_left_in(cache):
            return
        from ..caches.run_record import DAY, RunName, RunRecord

        with self._lock:
            outermost = roots.outermost()
            if outermost != self._written:
                name = self._name = self._name or RunName(self._lane, self._clock())
                cache.put(str(name), RunRecord(outermost).encode(), CONTENT_TYPE)
                self._written = outermost
            if self._name and self._clock() // DAY != self._name.began // DAY and roots.forget(outermost):
                self._name, self._written = None, frozenset()


class Fetched:
    """Finds what was copied into this store and has a valid signature of `key`; without a key, what has no signature.

    For a job whose Nix reads the cache by itself. It looks at each path's time, and asks Nix for the new ones. Each
    call returns what came since the last one, the first what came since `began`, in seconds since 1970.
    """

    def __init__(self, nix: Nix, began: int, key: PublicKey | None) -> None:
        self._nix, self._since, self._key = nix, began, key

    def __call__(self) -> list[PathInfo]:
        from ..queue import scan

        since, self._since = self._since, int(time.time()) - _OVERLAP
        with suppress(OSError, StoreError), StoreClient(self._nix) as store:
            infos = store.path_infos(scan.changed_since(self._nix, since)).values()
            return [info for info in infos if not info.ultimate and info.registered >= since and self._is_from(info)]
        return []

    def _is_from(self, info: PathInfo) -> bool:
        if self._key is None:
            return not info.signatures
        return is_signed(info, [self._key])
