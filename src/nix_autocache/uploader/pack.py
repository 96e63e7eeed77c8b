"""Packs a store path for upload: makes its NAR, compresses it, and checks the hash that the store registered.

Nothing is written to disk. A wrong hash raises before the iteration ends, so an atomic upload never completes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from ..caches.protocol import Archive
from ..errors import StoreError
from ..nix import base32, nar
from ..nix.narinfo import NarFile
from ..nix.store import PathInfo
from ..nix.unpack import CORRUPT, unpacked
from .compress import SUFFIX, Codec

_SPARE: Final = 1 << 20  # bytes that a compressed archive may exceed its content by, beside 1/32 of it
STREAMED: Final = 4 << 20  # bytes of NAR; larger ones are never in memory as a whole


class Packing(Archive):
    """The compressed archive of one path, the same in each iteration. `file` is set when an iteration has ended."""

    def __init__(self, info: PathInfo, codec: Codec) -> None:
        self.info = info
        self.nar_size = info.nar_size
        self.codec = codec
        self.url = archive_url(info, codec)
        self.file: NarFile | None = None

    def __iter__(self) -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        for packed in self.codec.compressed(self._checked(), self.info.nar_size):
            digest.update(packed)
            size += len(packed)
            yield packed
        self.file = NarFile(self.url, self.codec.name, base32.encode(digest.digest()), size)

    def _checked(self) -> Iterator[bytes]:
        """Yield the NAR. Raises StoreError at its end if it is not what the store registered."""
        digest = hashlib.sha256()
        for piece in nar.archive(self.info.path, self.codec.piece(self.info.nar_size)):
            digest.update(piece)
            yield piece
        found = f"sha256:{base32.encode(digest.digest())}"
        if found != self.info.nar_hash:
            raise StoreError(
                f"{self.info.path} was changed on disk: its hash is {found}, the store registered {self.info.nar_hash}"
            )


def verified(info: PathInfo, url: str, compression: str, pieces: Iterable[bytes]) -> NarFile | None:
    """Decompress and hash an archive of unknown origin. None if it is not the NAR that the store registered."""
    packed, content = _Counted(pieces), hashlib.sha256()
    size, largest = 0, info.nar_size + info.nar_size // 32 + _SPARE
    try:
        for piece in unpacked(compression, packed):
            content.update(piece)
            size += len(piece)
            if size > info.nar_size or packed.size > largest:  # an endless archive may hold nothing
                return None
    except CORRUPT:
        return None
    if (size, f"sha256:{base32.encode(content.digest())}") != (info.nar_size, info.nar_hash):
        return None
    return NarFile(url, compression, base32.encode(packed.digest.digest()), packed.size)


class _Counted:
    """Passes pieces on, and counts their size and hash."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.digest.update(piece)
            self.size += len(piece)
            yield piece


def archive_url(info: PathInfo, codec: Codec) -> str:
    """The name has the NAR hash: equal paths share an archive, and the name is known before it is compressed."""
    return f"nar/{info.nar_hash.partition(':')[2]}.nar{SUFFIX[codec.name]}"
