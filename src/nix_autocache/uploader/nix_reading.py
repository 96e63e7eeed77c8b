"""What Nix read in this job, as the read proxy reports it: what the cache did not have, and the narinfos it was given.

The first saves the uploader a question. The second, with what the job pushed, is the run index of the next run.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from ..caches.protocol import ObjectCache
from ..caches.run_codec import CONTENT_TYPE
from ..caches.run_index import LARGEST, RunIndex
from .run_records import Roots

_FRESH: Final = 60.0  # seconds after which another job may have pushed it
_MOST: Final = 20_000  # paths that are remembered as missing, or to be carried over
_PATH: Final = r"(?m)^StorePath: (/\S+)$"


class NixReading:
    """Used from many threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._missed: dict[str, float] = {}  # by the name of the narinfo, on the clock of `time.monotonic`
        self._used: dict[str, str] = {}  # narinfos by their names, the newest last
        self._letters = 0
        self._version = self._written = 0
        self._known = ""
        self._carried: dict[str, None] = {}  # store paths
        self.roots = Roots()
        self.was_heard = False  # of a read proxy

    def hear(self, line: bytes) -> None:
        """Take a line of `read_proxy.reports`. Any other line is ignored."""
        self.was_heard = True
        said: Any = None
        with suppress(ValueError, RecursionError):
            said = json.loads(line)
        match said:
            case {"name": str(name), "narinfo": str(narinfo), **more}:
                self.roots.use_narinfo(narinfo)
                self.note({name: narinfo})
                if more.get("carry"):
                    self._carry(narinfo)
            case {"name": str(name), "missed": float(when)}:
                self._miss(name, when)
            case {"known": str(known)}:
                self._known = known

    def lacks(self, name: str) -> bool:
        """Whether the cache itself has just answered, to a question of Nix, that it has no object of this name."""
        return time.monotonic() - self._missed.get(name, float("-inf")) <= _FRESH

    def note(self, narinfos: Mapping[str, str]) -> None:
        """Remember narinfos of paths that this job uses, by their names. Of too many, the oldest are forgotten.

        Call it for many at once: where each path takes the lock, threads wait for it longer than they work.
        """
        with self._lock:
            for name, narinfo in narinfos.items():
                self._missed.pop(name, None)
                self._version += self._used.get(name) != narinfo
                self._letters += len(narinfo) - len(self._used.pop(name, ""))
                self._used[name] = narinfo
            while self._letters > LARGEST:
                self._letters -= len(self._used.pop(next(iter(self._used))))

    def take_known(self) -> str:
        """What the read proxy's cache has looked up, see `Indexed.known`; empty if it has not, or that was taken."""
        known, self._known = self._known, ""
        return known

    def take_carried(self) -> list[str]:
        """The store paths that Nix found, as far as is known, only in the period before of a throwaway cache.

        What comes back must be fit to be asked of Nix. Each is returned once, so that the caller keeps it.
        """
        with self._lock:
            carried, self._carried = self._carried, {}
        return [*carried]

    @property
    def used(self) -> list[str]:
        """The names of the narinfos that this job uses."""
        with self._lock:
            return [*self._used]

    def write_index(self, cache: ObjectCache, name: str) -> None:
        """Write all that was used as a run index of this name, the newest first, unless that was done already.

        Raises as `ObjectCache.put`.
        """
        with self._lock:
            version, texts = self._version, list(reversed(self._used.values()))
        if version != self._written:
            cache.put(name, RunIndex.of(texts).encode(), CONTENT_TYPE)
            self._written = version

    def _carry(self, narinfo: str) -> None:
        with self._lock:
            if (path := re.search(_PATH, narinfo)) and len(self._carried) < _MOST:
                self._carried[path[1]] = None

    def _miss(self, name: str, when: float) -> None:
        with self._lock:
            self._missed.pop(name, None)
            self._missed[name] = when
            if len(self._missed) > _MOST:
                del self._missed[next(iter(self._missed))]
