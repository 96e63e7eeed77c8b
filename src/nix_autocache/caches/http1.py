"""HTTP/1.1 on one connection, one request after another (RFC 9112). The caller follows redirects.

Every method raises OSError if the connection breaks or the response is not HTTP.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from ..system.dataclass import dataclass, replace

LARGEST: Final = 1 << 20  # bytes of the content of a response that is not read piece by piece
_PIECE: Final = 64 << 10  # bytes at most of one piece: for a large one malloc asks the kernel for memory each time
_LINE: Final = 8192  # bytes
_HEADERS: Final = 256  # lines of a head
_END: Final = b"\r\n\r\n"
_INTERIM: Final = 8  # responses before the final one
_BARE: Final = frozenset({204, 304})  # statuses of responses without content


class NoCacheError(OSError):
    """A response that no binary cache gives; a retry would not help."""


@dataclass(frozen=True)
class Response:
    """A response. Names of `headers` are in lower case; `version` is that of HTTP, as `HTTP/1.1`."""

    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes
    version: str


class Connection:
    """One connection, for one thread at a time.

    `reusable` is false once the server closes it after its response.
    """

    def __init__(self, opened: socket.socket) -> None:
        self.reusable = True
        self._socket = opened
        self._stream: io.BufferedReader = opened.makefile("rb")

    def close(self) -> None:
        with suppress(OSError):
            self._stream.close()
            self._socket.close()

    def send(self, data: bytes, timeout: float) -> None:
        """Send all of it. `timeout`, in seconds, also limits each wait for the response."""
        self._socket.settimeout(timeout)
        self._socket.sendall(data)

    def send_chunked(self, pieces: Iterable[bytes]) -> None:
        """Send a body of unknown size, for a request with `Transfer-Encoding: chunked`."""
        for piece in pieces:
            self._socket.sendall(b"%x\r\n" % len(piece))
            self._socket.sendall(piece)
            self._socket.sendall(b"\r\n")
        self._socket.sendall(b"0\r\n\r\n")

    def send_all(self, pieces: Iterable[bytes]) -> None:
        """Send a body, for a request with its `Content-Length`."""
        for piece in pieces:
            self._socket.sendall(piece)

    def response(self, *, content: bool = True) -> Response:
        """The next response. One to CONNECT or HEAD has no `content`. Raises NoCacheError above `LARGEST`."""
        response = self.begin_response()
        if not content:
            return response
        size, pieces = 0, []
        for piece in self.content(response):
            size += len(piece)
            if size > LARGEST:
                raise NoCacheError(f"the answer is larger than the {LARGEST >> 20} MB that such a file can have")
            pieces.append(piece)
        return replace(response, content=b"".join(pieces))

    def begin_response(self) -> Response:
        """The next response without its content, which `content` reads."""
        try:
            for _ in range(_INTERIM):
                version, status, reason, headers = self._head()
                if not 100 <= status < 200:
                    break
            else:
                raise ValueError
        except ValueError:
            raise OSError("the server's answer is not HTTP") from None
        self.reusable = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        return Response(status, reason, headers, b"", version)

    def content(self, response: Response) -> Iterator[bytes]:
        """The content of a response of any size, piece by piece."""
        try:
            yield from () if response.status in _BARE else self._content(response.headers)
        except ValueError:
            raise OSError("the server's answer is not HTTP") from None

    def _head(self) -> tuple[str, int, str, Mapping[str, str]]:
        first, *others = self._lines()
        version, _, rest = first.partition(" ")
        status, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError
        fields = (line.partition(":") for line in others)
        return version, int(status), reason, {name.strip().lower(): value.strip() for name, _, value in fields}

    def _lines(self) -> Sequence[str]:
        """The lines up to an empty one. Those of most heads are there already, and are read at once.

        A trailer without lines begins with the empty one: what follows it is another response.
        """
        there = self._stream.peek()
        end = -1 if there.startswith(b"\r\n") else there.find(_END)
        if end >= 0 and there.count(b"\r\n", 0, end) == there.count(b"\n", 0, end):
            return self._stream.read(end + len(_END))[:end].decode("latin-1").split("\r\n")
        lines: list[str] = []
        for _ in range(_HEADERS):
            if not (line := self._line()):
                return lines or [""]
            lines.append(line)
        raise ValueError

    def _line(self) -> str:
        line = self._stream.readline(_LINE)
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the server closed the connection")
        return line.decode("latin-1").rstrip("\r\n")

    def _content(self, headers: Mapping[str, str]) -> Iterator[bytes]:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._line().partition(";")[0], 16):
                yield from self._exactly(size)
                self._line()
            self._lines()
        elif "content-length" in headers:
            yield from self._exactly(int(headers["content-length"]))
        else:
            self.reusable = False
            while piece := self._stream.read(_PIECE):
                yield piece

    def _exactly(self, size: int) -> Iterator[bytes]:
        if size < 0:
            raise ValueError
        while size:
            piece = self._stream.read(min(size, _PIECE))
            if not piece:
                raise ConnectionResetError("the server closed the connection")
            size -= len(piece)
            yield piece
