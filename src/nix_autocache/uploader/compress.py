"""Compresses archives as a stream, large ones in parallel. `nix/unpack.py` decompresses them.

In parallel, each piece becomes a zstd frame; readers take consecutive frames for one file (RFC 8878, 3.1). zstd's own
threads took a tenth longer, since they wait for the thread that feeds them after each piece.
"""

from __future__ import annotations

import lzma
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from ..nix.nar import PIECE
from ..nix.zstd import zstd
from ..settings import Compression
from ..system.dataclass import dataclass

_LARGE: Final = 16 << 20  # bytes of archive; larger ones are compressed by several threads
_LARGE_PIECE: Final = 2 << 20  # bytes for one thread: 1 MB compresses 2 % less, 4 MB need twice the memory
_THREADS: Final = 8
_AHEAD: Final = 2  # pieces in the pool beyond one for each thread
SUFFIX: Final[Mapping[Compression, str]] = {"zstd": ".zst", "xz": ".xz", "none": ""}


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How archives are compressed, as Nix names it in narinfos."""

    name: Compression
    level: int

    def piece(self, size: int) -> int:
        """The least number of bytes per piece for `compressed`, for an archive of `size` bytes."""
        return _LARGE_PIECE if self._is_parallel(size) else PIECE

    def compressed(self, pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
        """Compress an archive of `size` bytes. Raises what `pieces` raises, also after its last piece."""
        if self._is_parallel(size):
            return _parallel(_Frames(self.level).frame, pieces)
        if self.name == "zstd":
            return _stream(zstd.ZstdCompressor(level=self.level), pieces)
        if self.name == "xz":
            return _stream(lzma.LZMACompressor(preset=self.level), pieces)
        return iter(pieces)

    def _is_parallel(self, size: int) -> bool:
        return self.name == "zstd" and size >= _LARGE


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _stream(compressor: _Compressor, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        if packed := compressor.compress(piece):
            yield packed
    yield compressor.flush()


class _Frames:
    """One compressor per thread: making one clears a megabyte of tables, too slow for every piece."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._of_thread = threading.local()

    def frame(self, piece: bytes) -> bytes:
        compressor = getattr(self._of_thread, "compressor", None)
        if compressor is None:
            compressor = self._of_thread.compressor = zstd.ZstdCompressor(level=self._level)
        frame: bytes = compressor.compress(piece, zstd.ZstdCompressor.FLUSH_FRAME)
        return frame


def _parallel(compress: Callable[[bytes], bytes], pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Compress each piece by itself; yield them in order."""
    from concurrent.futures import Future, ThreadPoolExecutor  # takes 5 ms, and most archives are small

    threads = min(os.cpu_count() or 1, _THREADS)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[bytes]] = deque()
        for piece in pieces:
            waiting.append(pool.submit(compress, piece))
            if len(waiting) > threads + _AHEAD:
                yield waiting.popleft().result()
        for packed in waiting:
            yield packed.result()
