"""What we store below `autocache/` in a cache: run indexes, and what else one job leaves for the next.

An object is zstd (RFC 8878) of UTF-8 text. The first line is a JSON object, whose `format` is 1; the rest is text whose
meaning the kind of object defines. Whoever can write to the cache can write anything there, so reading has limits, and
ends in CacheError, which means "there is none".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ..errors import CacheError, one_line
from ..nix.unpack import CORRUPT, unpacked
from ..nix.zstd import zstd
from ..system import flat_json
from .protocol import ObjectCache

CONTENT_TYPE: Final = "application/zstd"
LARGEST: Final = 32 << 20  # bytes of text
MOST_ROOTS: Final = 200_000  # hash parts that one run record names
_FORMAT: Final = 1
_HEAD: Final = 64 << 10  # bytes of the first line
_LEVEL: Final = 9  # a third smaller than level 3, at 15 MB/s; its window is smaller than the one that `unpack` takes

Head = Mapping[str, Any]


class MalformedError(CacheError):
    """An object that `pack` could not have made."""


def pack(head: Head, text: str) -> bytes:
    """The object. `format` is added to the head, whose values must be JSON's."""
    line = json.dumps({**head, "format": _FORMAT}, separators=(",", ":"))
    return zstd.compress(f"{line}\n{text}".encode("utf-8", "replace"), _LEVEL)


def unpack(packed: Iterable[bytes], largest: int = LARGEST) -> tuple[Head, str]:
    """The head and the text of an object, which comes in pieces.

    Raises MalformedError for anything that `pack` could not have made, and for more than `largest` bytes of text.
    """
    content = bytearray()
    try:
        for piece in unpacked("zstd", _at_most(packed, largest)):
            content += piece
            if len(content) > largest:
                raise MalformedError(f"it has more than {largest >> 20} MB")
        line, _, text = content.partition(b"\n")
        del content
        return _head(line), text.decode()
    except CORRUPT as error:
        raise MalformedError(f"it is damaged: {one_line(error)}") from None


def read(cache: ObjectCache, name: str, largest: int = LARGEST) -> tuple[Head, str] | None:
    """The object of this name; None if there is none. Raises MalformedError, CacheError and CacheBusy."""
    content = cache.open(name)
    if content is None:
        return None
    try:
        return unpack(content.pieces, largest)
    finally:
        content.close()


def _at_most(pieces: Iterable[bytes], largest: int) -> Iterator[bytes]:
    """The pieces. Raises ValueError for more than `largest` bytes: frames that are skipped unpack to nothing."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > largest:
            raise ValueError(f"it has more than {largest >> 20} MB, packed")
        yield piece


def _head(line: bytes | bytearray) -> Head:
    """Raises ValueError."""
    head = flat_json.parse(line) if len(line) <= _HEAD else None
    if not isinstance(head, dict):
        raise ValueError("its first line is no JSON object")
    if head.get("format") != _FORMAT or isinstance(head["format"], bool):
        raise MalformedError(f"its format is not {_FORMAT}")
    return head
