"""A range of an entry of the Actions cache, in a file that has no name; it is read while it still comes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import IO, Final

from ...errors import CacheBusy, CacheError

_PIECE: Final = 1 << 20  # bytes


class RangeFile:
    """The bytes from `start` to `end` of the entry `key`. One thread writes, any number read.

    `users` are counted by its owner.
    """

    def __init__(self, key: str, start: int, end: int, file: IO[bytes]) -> None:
        self.key, self.start, self.end = key, start, end
        self.users = 0
        self._file = file
        self._filled = start
        self._ended = False
        self._error: CacheBusy | CacheError | None = None
        self._changed = threading.Condition()

    @property
    def filled(self) -> int:
        """Up to where in the entry it is here."""
        return self._filled

    @property
    def is_broken(self) -> bool:
        """True if it ended before its end."""
        return self._ended and self._filled < self.end

    def write(self, piece: bytes) -> None:
        """Append a piece. Raises OSError if the disk is full; then it was not appended."""
        written = 0
        while written < len(piece):
            written += os.pwrite(self._file.fileno(), piece[written:], self._filled - self.start + written)
        with self._changed:
            self._filled += len(piece)
            self._changed.notify_all()

    def finish(self, error: CacheBusy | CacheError | None) -> None:
        """Nothing more is written. Without an error, and before its end, the entry is gone."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Bytes of the entry, as they come; fewer if it is gone. Raises the error that writing ended with."""
        while start < end:
            with self._changed:
                while self._filled <= start and not self._ended:
                    self._changed.wait()
                here = min(end, self._filled)
            if here <= start:
                if self._error:
                    raise self._error
                return
            piece = os.pread(self._file.fileno(), min(_PIECE, here - start), start - self.start)
            start += len(piece)
            yield piece

    def close(self) -> None:
        self._file.close()
