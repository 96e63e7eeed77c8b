"""Archives of a drain: paths of equal content share one, which is uploaded once.

A server may refuse the second of two uploads of one object at the same moment (WebDAV answers 423), and the second is
a waste anyway.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..nix.narinfo import NarFile

_REMEMBERED: Final = 10_000  # archives: some 4 MB


class Archives:
    """Which archives are on their way, and which were uploaded; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._uploaded: OrderedDict[str, NarFile] = OrderedDict()

    def claim(self, name: str, later: Callable[[], None]) -> bool:
        """Whether the caller may upload this archive now, and must `release` it; else `later` is called when another
        is done with it."""
        with self._lock:
            if name in self._waiting:
                self._waiting[name].append(later)
                return False
            self._waiting[name] = []
            return True

    def release(self, name: str, file: NarFile | None) -> None:
        """Let others have it: `file` is what was uploaded, None where that failed."""
        with self._lock:
            waiting = self._waiting.pop(name)
            if file:
                self._uploaded[name] = file
                if len(self._uploaded) > _REMEMBERED:
                    self._uploaded.popitem(last=False)
        for later in waiting:
            later()

    def uploaded(self, name: str) -> NarFile | None:
        """The archive, if it was uploaded."""
        with self._lock:
            return self._uploaded.get(name)

    def forget(self) -> None:
        """What is in the cache may go from there."""
        with self._lock:
            self._uploaded.clear()
