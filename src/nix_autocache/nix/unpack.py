"""Decompresses what others compressed, in pieces and with limits: it may be wrong in any byte, or a bomb.

A text of a few kilobytes can unpack to gigabytes, or into a hundred thousand empty frames.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from .zstd import zstd

_UNPACKED: Final = 1 << 20  # bytes of output at once, however small the input
_FED: Final = 64 << 10  # bytes of input at once: zstd copies the rest of the input for each frame
_FEW: Final = 1024  # frames of any size are accepted
_FRAME: Final = 4 << 10  # bytes, the least average of further frames; ours have 2 MB
_WINDOW: Final = 23  # the logarithm of 8 MB: the memory that an archive of unknown origin may need
CORRUPT: Final = (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error, zstd.ZstdError)


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
