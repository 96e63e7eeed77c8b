"""Where the requests on an HTTP/1.1 connection end, as a proxy must know that makes a server think about each."""

import re
from enum import Enum, auto

_SIZE = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)


class _Reads(Enum):
    HEAD = auto()
    BODY = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()


class Requests:
    """One direction of one connection, from its first byte."""

    def __init__(self) -> None:
        self._reads = _Reads.HEAD
        self._text = b""  # of a head or a chunk's size, as far as it has come
        self._left = 0  # bytes of a body or a chunk

    def split(self, data: bytes) -> list[tuple[bytes, bool]]:
        """The data in pieces, with True for each that ends a request."""
        pieces: list[tuple[bytes, bool]] = []
        start = at = 0
        while at < len(data):
            at, ended = self._step(data, at)
            if ended:
                pieces.append((data[start:at], True))
                start = at
        return pieces + ([(data[start:], False)] if start < len(data) else [])

    def _step(self, data: bytes, at: int) -> tuple[int, bool]:
        """Read on from `at`: how far it came, and whether a request ends there."""
        if self._reads in {_Reads.BODY, _Reads.CHUNK}:
            taken = min(self._left, len(data) - at)
            self._left -= taken
            ended = self._reads is _Reads.BODY and not self._left
            if not self._left:
                self._reads = _Reads.HEAD if ended else _Reads.CHUNK_SIZE
            return at + taken, ended
        end = b"\r\n\r\n" if self._reads is _Reads.HEAD else b"\r\n"
        before = len(self._text)
        self._text += data[at:]
        found = self._text.find(end)
        if found < 0:
            return len(data), False
        text, self._text = self._text[: found + len(end)], b""
        return at + len(text) - before, self._head(text) if self._reads is _Reads.HEAD else self._chunk_size(text)

    def _head(self, text: bytes) -> bool:
        """True if the request has no body."""
        if _CHUNKED.search(text):
            self._reads = _Reads.CHUNK_SIZE
            return False
        size = _SIZE.search(text)
        self._left = int(size[1]) if size else 0
        self._reads = _Reads.BODY if self._left else _Reads.HEAD
        return not self._left

    def _chunk_size(self, text: bytes) -> bool:
        """True if it is the last chunk's; trailers are not used here."""
        size = int(text.partition(b";")[0], 16)
        self._left = size + 2
        self._reads = _Reads.BODY if not size else _Reads.CHUNK
        return False
