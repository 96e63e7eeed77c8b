"""The protocol between clients and the nix-daemon, as `nix-daemon --stdio` speaks it: numbers, texts, logs.

Input may be wrong in every byte and of any size, since any user can make the daemon store unchecked texts. Texts are
bytes here; one that is longer than allowed is read and dropped. Anything that breaks the protocol raises
`BrokenConversation`. Source: src/libstore/worker-protocol.hh, daemon.cc and remote-store.cc of Nix.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Callable
from typing import Final, Protocol

VERSION: Final = 0x115
CLIENT_MAGIC: Final = 0x6E697863
_SERVER_MAGIC: Final = 0x6478696F
_LOGGED, _FAILED, _LAST = 0x6F6C6D67, 0x63787470, 0x616C7473
_ACTIVITY, _ACTIVITY_ENDS, _RESULT = 0x53545254, 0x53544F50, 0x52534C54

_PIECE: Final = 1 << 16  # bytes
_LARGEST: Final = 1 << 32  # bytes of a text; a larger size is an error
_MOST: Final = 1 << 22  # texts in a list
_MESSAGE: Final = 1 << 12  # bytes of an error message
_LOG: Final = 100_000  # words before an answer


class BrokenConversation(Exception):  # noqa: N818 - callers try another one
    """The input breaks the protocol or is late, so the beginning of the next answer cannot be found."""


class Source(Protocol):
    def read(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises BrokenConversation or OSError."""


class Pipe:
    """Reads from a pipe, until the deadline that `allow` sets for each answer."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer, self._at = b"", 0  # what was read, and where the next answer begins in it
        self._seconds = self._deadline = 0.0
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def allow(self, seconds: float) -> None:
        self._seconds, self._deadline = seconds, time.monotonic() + seconds

    def read(self, size: int) -> bytes:
        end = self._at + size
        while len(self._buffer) < end:
            self._buffer, self._at, end = self._buffer[self._at :] + self._more(), 0, size
        data, self._at = self._buffer[self._at : end], end
        return data

    def is_empty(self) -> bool:
        """True if there is nothing to read, not even the end."""
        return self._at == len(self._buffer) and not self._poll.poll(0)

    def _more(self) -> bytes:
        left = self._deadline - time.monotonic()
        if left <= 0 or not self._poll.poll(left * 1000):
            raise BrokenConversation(f"no answer within {self._seconds:g} s")
        data = os.read(self._descriptor, _PIECE)
        if not data:
            raise BrokenConversation("it ended in the middle of an answer")
        return data


def number(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(data: bytes) -> bytes:
    return number(len(data)) + data + bytes(-len(data) % 8)


def read_number(source: Source) -> int:
    return int.from_bytes(source.read(8), "little")


def read_bool(source: Source) -> bool:
    if (value := read_number(source)) not in {0, 1}:
        raise BrokenConversation(f"it said {value:#x} where yes or no is due")
    return bool(value)


def read_text(source: Source, longest: int) -> bytes | None:
    """A text; None if it has more than `longest` bytes."""
    size = read_number(source)
    if size > _LARGEST:
        raise BrokenConversation(f"it announced a text of {size} bytes")
    padded = size + -size % 8
    if size <= longest:
        return source.read(padded)[:size]
    while padded:
        padded -= len(source.read(min(padded, _PIECE)))
    return None


def read_texts(
    source: Source, longest: int, wanted: Callable[[bytes], bool], most: int = _MOST
) -> tuple[list[bytes], int]:
    """From a list of texts, the first `most` that are `wanted` and have at most `longest` bytes, and the number of the
    others."""
    count = read_number(source)
    if count > _MOST:
        raise BrokenConversation(f"it announced {count} texts")
    kept: list[bytes] = []
    for _ in range(count):
        if (found := read_text(source, longest)) is not None and len(kept) < most and wanted(found):
            kept.append(found)
    return kept, count - len(kept)


def read_log(source: Source) -> str | None:
    """Read the log before an answer. None if the answer follows, else Nix's error."""
    for _ in range(_LOG):
        kind = read_number(source)
        if kind == _LAST:
            return None
        if kind == _FAILED:
            said = read_text(source, _MESSAGE)
            read_number(source)  # an exit status
            return said.decode("utf-8", "replace") if said is not None else "an error of more than 4 KB"
        _skip_log(source, kind)
    raise BrokenConversation("its log does not end")


def greet(source: Source) -> None:
    """Read the daemon's greeting."""
    if read_number(source) != _SERVER_MAGIC:
        raise BrokenConversation("it does not speak the daemon's protocol")
    read_number(source)  # the server's version; it speaks ours
    if (refused := read_log(source)) is not None:
        raise BrokenConversation(f"Nix says: {refused}")


def _skip_log(source: Source, kind: int) -> None:
    if kind == _LOGGED:
        read_text(source, 0)
    elif kind == _ACTIVITY:  # number, level, kind, text, fields, parent
        for _ in range(3):
            read_number(source)
        read_text(source, 0)
        _skip_fields(source)
        read_number(source)
    elif kind == _ACTIVITY_ENDS:
        read_number(source)
    elif kind == _RESULT:
        read_number(source)
        read_number(source)
        _skip_fields(source)
    else:
        raise BrokenConversation(f"it said {kind:#x}, which is no word of its protocol")


def _skip_fields(source: Source) -> None:
    if (count := read_number(source)) > _MOST:
        raise BrokenConversation(f"it announced {count} fields")
    for _ in range(count):
        if read_bool(source):  # a text, else a number
            read_text(source, 0)
        else:
            read_number(source)
