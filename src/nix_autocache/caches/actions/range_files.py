"""Reads archives from packs in large aligned ranges, and keeps these for the neighbours, which Nix asks for next.

Nix asks for hundreds of small archives, which lie side by side, and each request takes a quarter of a second. At most
eight ranges come at once. Nothing outlives the process.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from ...errors import CacheBusy, CacheError, one_line
from ...system import threads
from ..retry import retrying
from .keys import archive_of
from .links import Links
from .range_file import RangeFile

_AHEAD: Final = 3  # ranges of one archive that are fetched before they are needed
_AT_ONCE: Final = 8
_PATIENCE: Final = 20.0  # seconds for a range that breaks off
_FREE: Final = 1 << 30  # bytes of the disk that others can always have


class RangeFiles:
    """Used from many threads at once. The files are in `directory`, and have at most `kept` bytes together. Without a
    directory nothing is kept.

    `size` is that of a range, in bytes; where a server sends every entry from its beginning, a range is all of it.
    """

    def __init__(self, links: Links, directory: Path | None, kept: int = 1 << 30, size: int = 16 << 20) -> None:
        self._links, self._directory, self._kept, self._size = links, directory, kept, size
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(_AT_ONCE)
        self._files: dict[tuple[str, int], RangeFile] = {}  # by entry and start, the one used last at the end
        self._never = threading.Event()

    def pieces(self, key: str, total: int, start: int, end: int) -> Iterator[bytes]:
        """Bytes of an entry with `total` bytes of archives; fewer if it is gone. Raises CacheError and CacheBusy."""
        size = total if self._links.ignores_ranges else self._size
        held: dict[int, RangeFile | None] = {}
        try:
            while start < end:
                begin = start - start % size
                stop = min(end, begin + size)
                for each in range(begin, min(end, begin + (1 + _AHEAD) * size), size):
                    held[each] = held.get(each) or self._hold(key, each, min(total, each + size))
                file = held[begin]
                for piece in file.pieces(start, stop) if file else self._direct(key, start, stop):
                    yield piece
                    start += len(piece)
                if start < stop:
                    return
                self._release([held.pop(begin)])
        finally:
            self._release(held.values())

    def _direct(self, key: str, start: int, end: int) -> Iterator[bytes]:
        content = self._links.stream(key, start, end)
        if content is None:
            return
        try:
            yield from content.pieces
        finally:
            content.close()

    def _hold(self, key: str, start: int, end: int) -> RangeFile | None:
        """The file of a range, which is fetched if it is not here; None if there is no room."""
        with self._lock:
            file = self._files.pop((key, start), None)
            made = None
            if file is None or file.is_broken:
                file = made = self._make(key, start, end)
            if file is None:
                return None
            self._files[key, start] = file
            file.users += 2 if made else 1  # one is the thread that fetches it
        if made:
            threads.start(partial(self._fetch, made), "range")
        return file

    def _make(self, key: str, start: int, end: int) -> RangeFile | None:
        """The caller holds the lock."""
        if not self._directory:
            return None
        unused = [file for file in self._files.values() if not file.users]
        room = self._kept - sum(file.end - file.start for file in self._files.values())
        while room < end - start and unused:
            file = unused.pop(0)
            room += file.end - file.start
            self._drop(file)
        if room < end - start:
            return None
        try:
            made = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - `_drop` closes it
            state = os.fstatvfs(made.fileno())
        except OSError:
            return None
        if state.f_bavail * state.f_frsize - (end - start) < _FREE:
            made.close()
            return None
        return RangeFile(key, start, end, made)

    def _fetch(self, file: RangeFile) -> None:
        error: CacheBusy | CacheError | None = CacheError("a range was not read for an unexpected reason")
        try:
            with self._slots:
                retrying(partial(self._fill, file), self._never, longest=_PATIENCE)
            error = None
        except (CacheBusy, CacheError) as refused:
            error = refused
        except OSError as full:
            error = CacheError(f"no range of the Actions cache can be kept here: {one_line(full)}")
        finally:
            file.finish(error)
            self._release([file])

    def _fill(self, file: RangeFile) -> None:
        """Go on from where it broke off. Returns early if the entry is gone, or ends before the archive does."""
        content = self._links.stream(file.key, file.filled, file.end)
        if content is None:
            return
        try:
            if content.size is not None and content.size < file.end - file.filled:
                return
            for piece in content.pieces:
                file.write(piece)
        finally:
            content.close()
        if file.filled < file.end:
            raise CacheBusy("the Actions cache sent less than it announced")

    def _release(self, files: Iterable[RangeFile | None]) -> None:
        with self._lock:
            for file in filter(None, files):
                file.users -= 1
                # What is an entry of its own has no neighbours.
                if not file.users and (file.is_broken or archive_of(file.key)):
                    self._drop(file)

    def _drop(self, file: RangeFile) -> None:
        """The caller holds the lock."""
        if self._files.get((file.key, file.start)) is file:
            del self._files[file.key, file.start]
        file.close()
