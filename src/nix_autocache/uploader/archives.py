"""The archives of a drain: paths with equal content share one, so it is uploaded once.

Two simultaneous uploads of one object are a waste, and a server may refuse the second (WebDAV answers 423).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..nix.narinfo import NarFile

_REMEMBERED: Final = 10_000  # archives, about 4 MB


class Archives:
    """The archives being uploaded, and those that were. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._uploaded: OrderedDict[str, NarFile] = OrderedDict()

    def claim(self, name: str, later: Callable[[], None]) -> bool:
        """True if the caller may upload this archive, and then must `release` it. Otherwise `later` is called once
        another thread has released it."""
        with self._lock:
            if name in self._waiting:
                self._waiting[name].append(later)
                return False
            self._waiting[name] = []
            return True

    def release(self, name: str, file: NarFile | None) -> None:
        """Let others claim it. `file` is the uploaded archive, None if the upload failed."""
        with self._lock:
            waiting = self._waiting.pop(name)
            if file:
                self._uploaded[name] = file
                if len(self._uploaded) > _REMEMBERED:
                    self._uploaded.popitem(last=False)
        for later in waiting:
            later()

    def uploaded(self, name: str) -> NarFile | None:
        with self._lock:
            return self._uploaded.get(name)

    def forget(self) -> None:
        """Forget the uploaded archives: they may have been removed from the cache since."""
        with self._lock:
            self._uploaded.clear()
