"""The archives that Nix will ask for next, as narinfos say; `Archives` fetches them.

Nix fetches the references of a path before the path itself, so the archive that was found last is fetched first.
"""

from __future__ import annotations

import time
from typing import Final

from .hints import Archive

LARGE: Final = 256 << 10  # bytes
_MOST: Final = 10_000  # archives of each size in the queue, and narinfos that are remembered
_ASKED: Final = 30.0  # seconds for which an archive that Nix has asked for is not queued


class ArchiveQueue:
    """`small` and `large` have the first to fetch at their ends. Not for several threads at once."""

    def __init__(self) -> None:
        self.small: dict[str, Archive] = {}
        self.large: dict[str, Archive] = {}
        self._known: dict[str, Archive | None] = {}  # as the narinfos say; None if they differ
        self._asked: dict[str, float] = {}  # when, for each that Nix asked for lately

    def __bool__(self) -> bool:
        return bool(self.small or self.large)

    def know(self, archive: Archive) -> None:
        """Remember what the narinfo says, to compare the archive with it."""
        known = self._known.pop(archive.name, archive)
        self._known[archive.name] = archive if known == archive else None
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]

    def known(self, name: str) -> Archive | None:
        """What all narinfos say that name it; None if there is none, or if they differ."""
        return self._known.get(name)

    def add(self, archive: Archive) -> None:
        """Queue it, unless Nix has asked for it, or it cannot be compared with its narinfo."""
        queue = self.large if archive.size > LARGE else self.small
        if archive.name not in self._asked and self.known(archive.name) == archive and len(queue) < _MOST:
            queue[archive.name] = archive

    def ask(self, name: str) -> None:
        """Note that Nix asks for it."""
        self._asked[name] = time.monotonic()
        self.small.pop(name, None)
        self.large.pop(name, None)

    def clear(self) -> None:
        self.small.clear()
        self.large.clear()

    def tidy(self) -> None:
        """Forget what Nix asked for some time ago: an archive may be wanted again."""
        now = time.monotonic()
        for name in [name for name, when in self._asked.items() if now - when > _ASKED]:
            del self._asked[name]
