"""What a cache's collector has announced, as a pusher sees it: nothing is published that refers to what is deleted.

A pusher reads the list with its first request, and again every few minutes while there is work. Before it relies on
something that is on the list, it claims it. Before it publishes a path, the list is fresh, and what the path needs was
found or put under that list; otherwise that is asked for again. docs/garbage-collection.md has the protocol, which a
model checks. While nothing is doomed this costs no request but the reading of the list.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Final

from ..caches.doomed_list import VIEW, Claim, DoomedList, Keys, key, read_begun
from ..caches.protocol import Collectable, ObjectCache
from ..caches.run_codec import CONTENT_TYPE
from ..errors import CacheError
from ..nix.store import StorePath
from ..system.dataclass import dataclass, field

_DUE: Final = VIEW / 2  # seconds after which the list is read again while there is work
_NOTHING: Final = DoomedList(0, 0)  # nothing was ever collected there


class Collected(CacheError):  # noqa: N818 - a state, not a mistake
    """Something is being collected that a path needs, or was. `gone` are paths that the cache has no more."""

    def __init__(self, gone: Iterable[StorePath] = ()) -> None:
        super().__init__("it, or what it refers to, is being collected; tried again at the next flush")
        self.gone = frozenset(gone)


def since_boot() -> float:
    """Seconds, of a clock that goes on while this machine is suspended."""
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class _View:
    """A list, when its reading began, and keys on it that this pusher has claimed."""

    listed: DoomedList = _NOTHING
    read: float = -math.inf
    claimed: set[str] = field(default_factory=set)

    def unclaimed(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self.listed.keys and key(name) not in self.claimed]


class Doomed:
    """The list in `cache`; None, or a cache that cannot be collected, has none. For any thread.

    Objects are named as in the cache. Every method that asks the cache raises CacheError, CacheBusy, or Collected.
    """

    def __init__(self, cache: ObjectCache | None = None, clock: Callable[[], float] = since_boot) -> None:
        self._cache: ObjectCache | None = cache if isinstance(cache, Collectable) else None
        self._clock = clock
        self._run, self._numbers = os.urandom(8).hex(), count(1)
        self._reading = threading.Lock()
        self._view = _View()
        self._seen: dict[str, int] = {}  # by the key of an object: the epoch of the list under which it was there

    @property
    def is_due(self) -> bool:
        """True if the list should be read. Sends no request."""
        return self._cache is not None and self._age > _DUE

    def look(self, oldest: float = _DUE) -> None:
        """Read the list, unless it was read in the last `oldest` seconds."""
        if self._cache is None or self._age <= oldest:
            return
        with self._reading:
            if self._age > oldest:  # no other thread has read it meanwhile
                self._read(self._cache)

    def hold(self, names: Sequence[str]) -> int:
        """Claim those of these objects that are on the list, before they are looked for or put.

        Returns the epoch of the list, for `note`.
        """
        if self._cache is None:
            return 0
        while doomed := (view := self._view).unclaimed(names):
            self._claim(self._cache, view, doomed)
        return view.listed.epoch

    def note(self, name: str, epoch: int) -> None:
        """An object is in the cache; the epoch is the one that `hold` returned before that was known."""
        if self._cache is not None:
            self._seen[key(name)] = epoch

    def secure(self, name: str, archive: str, references: Iterable[StorePath]) -> int:
        """Just before the narinfo `name` is put: see that its archive and its references are there, and stay.

        Of the references those matter that were noted; the others are in other caches. Returns the epoch, for `note`.
        """
        if self._cache is None:
            return 0
        paths = {f"{path.hash_part}.narinfo": path for path in references if key(path.hash_part) in self._seen}
        objects = [*filter(None, [archive]), *paths]
        while True:
            self.look(VIEW)
            epoch = self.hold([name, *objects])
            unsure = [each for each in objects if self._seen.get(key(each)) != epoch]
            if gone := [each for each in unsure if not self._cache.exists(each)]:
                raise Collected(paths[each] for each in gone if each in paths)
            for each in unsure:
                self.note(each, epoch)
            if epoch == self._view.listed.epoch and self._age <= VIEW:
                return epoch

    def forget(self) -> None:
        """Forget what was noted. Only while nothing is in work."""
        self._seen.clear()

    @property
    def _age(self) -> float:
        return self._clock() - self._view.read

    def _read(self, cache: ObjectCache) -> None:
        now, before = self._clock(), self._view
        found = DoomedList.read(cache) or _NOTHING
        self._view = _View(found, now, before.claimed if found.epoch == before.listed.epoch else set())

    def _claim(self, cache: ObjectCache, view: _View, names: Sequence[str]) -> None:
        """Claim objects on the list of a view. Raises Collected if their deletion has begun.

        The claim holds only if the list is still that one; whether it is must be asked after the claim was put.
        """
        claim = Claim(view.listed.epoch, Keys.of(names))
        cache.put(Claim.name(claim.epoch, self._run, next(self._numbers)), claim.encode(), CONTENT_TYPE)
        begun = read_begun(cache)
        with self._reading:
            self._read(cache)
            if begun is not None:
                raise Collected
            if self._view.listed.announced and self._view.listed.epoch == claim.epoch:
                self._view.claimed.update(map(key, names))
