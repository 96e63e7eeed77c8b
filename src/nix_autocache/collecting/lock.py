"""One collector at a time: an object that only one can put, and that it puts again while it lives.

Ages are differences of two times of the store. Servers that ignore conditions are found by trying; there the user must
say that this is the only collector.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

from ..caches import run_codec
from ..caches.doomed_list import FOLDER, IN_FLIGHT
from ..caches.protocol import Collectable, Stored
from ..errors import Error
from ..system.dataclass import dataclass

LOCK: Final = f"{FOLDER}/lock"
RENEWED: Final = 300.0  # seconds after which the owner puts it again, before it deletes anything more
STALE: Final = RENEWED + 2 * IN_FLIGHT  # seconds without a sign of its owner, after which it is taken over


class TakenError(Error):
    """Another collector runs, or has taken over."""


@dataclass(frozen=True)
class Clock:
    """`now` is in seconds, counts while the machine sleeps, and has any beginning; `wait` takes seconds."""

    now: Callable[[], float]
    wait: Callable[[float], None]


class Lock:
    """Made by `acquire`. `store_time` is a time of the store at which the clock was not yet at `_since`."""

    def __init__(self, cache: Collectable, clock: Clock, *, alone: bool) -> None:
        self._cache, self._clock, self._alone = cache, clock, alone
        self._token, self._etag = secrets.token_hex(16), ""
        self._renewed = self._since = clock.now()
        self.store_time = 0.0

    @classmethod
    def acquire(cls, cache: Collectable, clock: Clock, *, alone: bool = False) -> Lock:
        """`alone`: no other collector runs, whatever the lock says.

        Raises TakenError, Error for a store that ignores conditions unless `alone` and for credentials that may not
        delete, CacheError and CacheBusy.
        """
        lock = cls(cache, clock, alone=alone)
        lock._probe()
        if alone:
            cache.put(LOCK, lock._content(), run_codec.CONTENT_TYPE)
        elif not cache.put_if(LOCK, lock._content(), None):
            lock._take_over()
        lock._etag = lock._stored(LOCK).etag
        return lock

    def now(self) -> float:
        """The time of the store."""
        return self.store_time + self._clock.now() - self._since

    def renew(self) -> None:
        """Call it before each deletion: it says that the owner lives. Raises TakenError if another has taken over."""
        if self._clock.now() - self._renewed < RENEWED:
            return
        began = self._clock.now()
        if self._alone:  # others may be without --alone
            self._cache.put(LOCK, self._content(), run_codec.CONTENT_TYPE)
        elif not self._cache.put_if(LOCK, self._content(), self._etag):
            raise TakenError(
                "gc: this one was silent for too long, and another gc has taken over; nothing is left to do here"
            )
        self._etag, self._renewed = self._stored(LOCK).etag, began

    def release(self) -> None:
        """Raises CacheError and CacheBusy."""
        if self._alone or self._clock.now() - self._renewed < STALE / 2:  # else it may be another's
            self._cache.delete([LOCK])

    def _probe(self) -> None:
        name = f"{FOLDER}/probe-{self._token}"
        self._cache.put_if(name, self._content(), None)
        try:
            if self._cache.put_if(name, self._content(), None) and not self._alone:
                raise Error(
                    "gc: this store overwrites objects that it was asked to create only, so two collectors could run "
                    "at once; give --alone, and see that no other gc runs at the same time"
                )
            # The clock is read last: `now` may be too early, which only waits for longer, and never too late.
            self.store_time, self._since = self._stored(name).modified, self._clock.now()
        finally:
            refused = self._cache.delete([name])
        for why in refused.values():
            raise Error(f"gc: these credentials cannot delete: {why}; use credentials or a role that may")

    def _take_over(self) -> None:
        found = self._stored(LOCK)
        silent = self.now() - found.modified
        if silent < STALE or not self._cache.put_if(LOCK, self._content(), found.etag):
            raise TakenError(
                f"gc: another gc began or gave a sign {silent / 60:.0f} minutes ago; it is taken over after "
                f"{STALE / 60:.0f} minutes of silence, or at once with --alone, if you know that it is dead"
            )

    def _content(self) -> bytes:
        head = {"kind": "lock", "token": self._token, "at": int(time.time()), "silent": self._clock.now() - self._since}
        return run_codec.pack(head, "")

    def _stored(self, name: str) -> Stored:
        """Raises TakenError if it is gone."""
        for each in self._cache.objects(FOLDER):
            if each.name == name:
                return each
        raise TakenError(f"gc: {name} was removed meanwhile; run it again")
