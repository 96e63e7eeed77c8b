"""A store path packed for upload: its NAR, hashed against what the store registered, and compressed.

Nothing is spooled to disk. What is not what Nix vouches for raises before the last byte is given out, so that
an atomic upload of it never completes.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ..errors import StoreError
from ..nix import base32, nar
from ..nix.store import PathInfo
from .narinfo import NarFile

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STREAMED: Final = 4 << 20  # bytes of NAR from which on it is not held in memory whole
_PARALLEL: Final = 16 << 20  # bytes of NAR from which on several threads compress it
_PIECE: Final = 2 << 20  # bytes for one thread: zstd's own 8 MB take a fifth more time and 50 MB more memory
_SUFFIX: Final = {"zstd": ".zst", "xz": ".xz", "none": ""}


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How archives are compressed, as Nix names it in narinfos."""

    name: Literal["zstd", "xz", "none"]
    level: int

    def compressor(self, size: int) -> Compressor:
        """A compressor for `size` bytes."""
        if self.name == "zstd":
            parameter = zstd.CompressionParameter
            options: dict[int, int] = {parameter.compression_level: self.level}
            if size >= _PARALLEL:
                options |= {parameter.nb_workers: os.cpu_count() or 1, parameter.job_size: _PIECE}
            return zstd.ZstdCompressor(options=options)
        return lzma.LZMACompressor(preset=self.level) if self.name == "xz" else _Plain()


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class Packing:
    """The compressed archive of one path, to be iterated once; `file` is there when it ended."""

    def __init__(self, info: PathInfo, codec: Codec) -> None:
        self.info = info
        self.codec = codec
        self.url = archive_url(info, codec)
        self.file: NarFile | None = None

    def __iter__(self) -> Iterator[bytes]:
        nar_hash, file_hash = hashlib.sha256(), hashlib.sha256()
        compressor = self.codec.compressor(self.info.nar_size)
        size = 0
        for piece in nar.archive(self.info.path):
            nar_hash.update(piece)
            if packed := compressor.compress(piece):
                file_hash.update(packed)
                size += len(packed)
                yield packed
        _check(self.info, nar_hash.digest())
        last = compressor.flush()
        file_hash.update(last)
        self.file = NarFile(self.url, self.codec.name, base32.encode(file_hash.digest()), size + len(last))
        yield last


def archive_url(info: PathInfo, codec: Codec) -> str:
    """Named by the hash of its content, so that equal paths share one archive and an upload can be a stream."""
    return f"nar/{info.nar_hash.partition(':')[2]}.nar{_SUFFIX[codec.name]}"


def _check(info: PathInfo, digest: bytes) -> None:
    found = f"sha256:{base32.encode(digest)}"
    if found != info.nar_hash:
        raise StoreError(f"{info.path} was changed on disk: its hash is {found}, the store registered {info.nar_hash}")
