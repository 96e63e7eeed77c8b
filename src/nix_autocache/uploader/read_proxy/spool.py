"""Room for archives that were fetched ahead: small ones in memory, larger ones in files that have no name.

Nothing of it outlives the process, however that ends.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

SMALL: Final = 1 << 20  # bytes of an archive that may be in memory
_MEMORY: Final = 32 << 20  # bytes in memory
_DISK: Final = 1 << 30  # bytes in files
_FREE: Final = 1 << 30  # bytes of the disk that others can always have
FILES: Final = 160  # files, of which each takes a descriptor


class Room:
    """The place for one archive of known size. One thread writes, any number read. It is given back once."""

    def __init__(self, size: int, file: IO[bytes] | None, give_back: Callable[[Room], None]) -> None:
        self.size = size
        self.file = file
        self._memory = bytearray()
        self._give_back: Callable[[Room], None] | None = give_back

    def write(self, piece: bytes) -> None:
        """Append a piece. Raises OSError if the disk is full."""
        if self.file:
            self.file.write(piece)
            self.file.flush()
        else:
            self._memory += piece

    def read(self, offset: int, size: int) -> bytes:
        if self.file:
            return os.pread(self.file.fileno(), size, offset)
        return bytes(memoryview(self._memory)[offset : offset + size])

    def close(self) -> None:
        """Give it back. Nobody may use it afterwards. May be called again."""
        if give_back := self._give_back:
            self._give_back = None
            self._memory = bytearray()
            if self.file:
                self.file.close()
            give_back(self)


class Spool:
    """May be used from any thread. Its files are in `directory`; with a `disk` of 0 bytes it holds small ones only."""

    def __init__(self, directory: Path, memory: int = _MEMORY, disk: int = _DISK) -> None:
        self._directory = directory
        self._most = disk
        self._memory, self._disk, self._files = memory, disk, FILES
        self._lock = threading.Lock()

    def may_hold(self, size: int) -> bool:
        """False if there never is room for an archive of this size."""
        return size <= max(self._most, SMALL)

    def reserve(self, size: int) -> Room | None:
        """Room for an archive of this size, in bytes; None if there is none now."""
        with self._lock:
            if size <= min(SMALL, self._memory):
                self._memory -= size
                return Room(size, None, self._returned)
            if size > self._disk or not self._files or not self._has_free(size):
                return None
            try:
                file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - the room closes it
            except OSError:
                return None
            self._disk -= size
            self._files -= 1
            return Room(size, file, self._returned)

    def _has_free(self, size: int) -> bool:
        try:
            state = os.statvfs(self._directory)
        except OSError:
            return False
        return state.f_bavail * state.f_frsize - size > _FREE

    def _returned(self, room: Room) -> None:
        with self._lock:
            if room.file:
                self._disk += room.size
                self._files += 1
            else:
                self._memory += room.size
