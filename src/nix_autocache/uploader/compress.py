"""Archives compressed while they are read: in one stream, or, where they are large, in pieces side by side.

Pieces become frames of zstd, one after the other, which every reader of the format takes for one file (RFC 8878, 3.1).
zstd has threads of its own; they wait for the thread that feeds them after each piece, which took a tenth longer.
"""

from __future__ import annotations

import bz2
import lzma
import os
import sys
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from ..nix.nar import PIECE

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LARGE: Final = 16 << 20  # bytes of archive from which on several threads compress it
_LARGE_PIECE: Final = 2 << 20  # bytes for one thread: 1 MB compresses 2 % less, 4 MB need twice the memory
_THREADS: Final = 8
_AHEAD: Final = 2  # pieces that are ready for a thread that becomes free
SUFFIX: Final = {"zstd": ".zst", "xz": ".xz", "none": ""}
_UNPACKED: Final = 1 << 20  # bytes that come out at once, however little goes in
_FED: Final = 64 << 10  # bytes that go in at once: what follows a frame is copied with each frame
_FEW: Final = 1024  # frames of any size
_FRAME: Final = 4 << 10  # bytes that further ones hold on the average; ours have 2 MB
_WINDOW: Final = 23  # 8 MB, the logarithm: what nobody vouches for gets no more memory than that
CORRUPT: Final = (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error, zstd.ZstdError)


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How archives are compressed, as Nix names it in narinfos."""

    name: Literal["zstd", "xz", "none"]
    level: int

    def piece(self, size: int) -> int:
        """How many bytes of an archive of `size` to give to `compressed` at once, at least."""
        return _LARGE_PIECE if self._is_parallel(size) else PIECE

    def compressed(self, pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
        """An archive of `size` bytes, compressed. What `pieces` raises, also after the last one, is raised here."""
        if self._is_parallel(size):
            return _side_by_side(_Frames(self.level).frame, pieces)
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


def unpacked(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What was compressed with `name`, as narinfos name it, in pieces of a megabyte at the most.

    Raises one of CORRUPT for what is broken, needs too much memory, or was compressed in a way that we do not read.
    """
    if name == "none":
        return iter(pieces)
    makers: dict[str, Callable[[], Any]] = {
        "zstd": lambda: zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW}),
        "xz": lambda: lzma.LZMADecompressor(memlimit=32 << 20),
        "bzip2": bz2.BZ2Decompressor,
    }
    if name == "gzip":
        return _gunzipped(pieces)
    if name not in makers:
        raise ValueError(f"{name} is not read here")
    return _unpacked(makers[name], pieces)


def _unpacked(make: Callable[[], Any], pieces: Iterable[bytes]) -> Iterator[bytes]:
    """All frames, one after the other. A megabyte has room for 100,000 empty ones, each of which takes a decompressor
    of its own: so many are no archive."""
    decompressor, frames, size = make(), 1, 0
    for piece in _fed(pieces):
        while piece:
            if decompressor.eof:
                decompressor, frames = make(), frames + 1
            if frames > _FEW + size // _FRAME:
                raise ValueError("it has too many frames for what they hold")
            out = decompressor.decompress(piece, _UNPACKED)
            size += len(out)
            yield out
            while not decompressor.eof and not decompressor.needs_input:
                out = decompressor.decompress(b"", _UNPACKED)
                size += len(out)
                yield out
            piece = decompressor.unused_data if decompressor.eof else b""
    if not decompressor.eof:
        raise EOFError("it was cut off")


def _fed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return (piece[start : start + _FED] for piece in pieces for start in range(0, len(piece), _FED))


def _gunzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(wbits=31)
    for piece in pieces:
        yield decompressor.decompress(piece, _UNPACKED)
        while decompressor.unconsumed_tail:
            yield decompressor.decompress(decompressor.unconsumed_tail, _UNPACKED)
        if decompressor.unused_data:  # which zlib would keep in memory, all of it
            raise ValueError("something follows its end")
    if not decompressor.eof:
        raise EOFError("it was cut off")


class _Frames:
    """A compressor for each thread: to make one for each piece is to clear a megabyte of tables for it."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._of_thread = threading.local()

    def frame(self, piece: bytes) -> bytes:
        compressor = getattr(self._of_thread, "compressor", None)
        if compressor is None:
            compressor = self._of_thread.compressor = zstd.ZstdCompressor(level=self._level)
        frame: bytes = compressor.compress(piece, zstd.ZstdCompressor.FLUSH_FRAME)
        return frame


def _side_by_side(compress: Callable[[bytes], bytes], pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Each piece compressed by itself, in order."""
    from concurrent.futures import Future, ThreadPoolExecutor  # 5 ms, which most archives need not wait for

    threads = min(os.cpu_count() or 1, _THREADS)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[bytes]] = deque()
        for piece in pieces:
            waiting.append(pool.submit(compress, piece))
            if len(waiting) > threads + _AHEAD:
                yield waiting.popleft().result()
        for packed in waiting:
            yield packed.result()
