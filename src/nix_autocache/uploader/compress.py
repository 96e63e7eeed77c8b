"""Compresses archives as a stream, large ones in parallel, and decompresses those of others with limits.

In parallel, each piece becomes a zstd frame; readers take consecutive frames for one file (RFC 8878, 3.1). zstd's own
threads took a tenth longer, since they wait for the thread that feeds them after each piece.
"""

from __future__ import annotations

import bz2
import lzma
import os
import sys
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..nix.nar import PIECE
from ..settings import Compression

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LARGE: Final = 16 << 20  # bytes of archive; larger ones are compressed by several threads
_LARGE_PIECE: Final = 2 << 20  # bytes for one thread: 1 MB compresses 2 % less, 4 MB need twice the memory
_THREADS: Final = 8
_AHEAD: Final = 2  # pieces in the pool beyond one for each thread
SUFFIX: Final[Mapping[Compression, str]] = {"zstd": ".zst", "xz": ".xz", "none": ""}
_UNPACKED: Final = 1 << 20  # bytes of output at once, however small the input
_FED: Final = 64 << 10  # bytes of input at once: zstd copies the rest of the input for each frame
_FEW: Final = 1024  # frames of any size are accepted
_FRAME: Final = 4 << 10  # bytes, the least average of further frames; ours have 2 MB
_WINDOW: Final = 23  # the logarithm of 8 MB: the memory that an archive of unknown origin may need
CORRUPT: Final = (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error, zstd.ZstdError)


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


def unpacked(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress, in pieces of at most a megabyte. `name` is the compression as narinfos name it.

    Raises one of CORRUPT for input that is broken or needs too much memory, and for a compression we do not read.
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
    """Decompress all frames. Their number is limited: a megabyte has room for 100,000 empty frames, and each takes a
    new decompressor."""
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
        if decompressor.unused_data:  # zlib would keep all of it in memory
            raise ValueError("something follows its end")
    if not decompressor.eof:
        raise EOFError("it was cut off")


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
