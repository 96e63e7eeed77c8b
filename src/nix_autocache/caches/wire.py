"""HTTP/1.1, request by request (RFC 9112). Plain on purpose: no redirects, no content that is not small.

Whatever breaks off, or is not HTTP, raises OSError.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    import ssl

_CONNECT: Final = 10.0  # seconds for a connection
_LARGEST: Final = 1 << 20  # bytes of an answer's content
_LINE: Final = 8192  # bytes
_PORTS: Final = {"http": 80, "https": 443}
_BARE: Final = frozenset({204, 304})  # answers without content


@dataclass(frozen=True)
class Answer:
    """An answer that was read to its end; names of `headers` in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Server:
    """The server at `base`, and the `headers` that each request carries; with a `proxy`, by way of that one.

    `to_proxy` are headers for the proxy alone.
    """

    base: str
    headers: Mapping[str, str]
    context: ssl.SSLContext | None = None
    proxy: SplitResult | None = None
    to_proxy: Mapping[str, str] | None = None

    def connect(self) -> Connection:
        """A new connection. Raises OSError."""
        return self.secured(socket.create_connection(self._peer, _CONNECT))

    def dial(self, count: int) -> Iterator[socket.socket]:
        """Connections that are on their way, to the first address of the server. Raises OSError without an address."""
        family, kind, protocol, _, address = socket.getaddrinfo(*self._peer, type=socket.SOCK_STREAM)[0]
        for _ in range(count):
            plain = socket.socket(family, kind, protocol)
            plain.setblocking(False)
            plain.connect_ex(address)
            yield plain

    def secured(self, plain: socket.socket) -> Connection:
        """What was dialled, ready for requests. Raises OSError."""
        url = urlsplit(self.base)
        try:
            plain.settimeout(_CONNECT)
            plain.send(b"")  # waits until it is there
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is None:
                return Connection(plain)
            if self.proxy:
                self._tunnel(Connection(plain), f"{url.hostname}:{url.port or _PORTS[url.scheme]}")
            return Connection(self.context.wrap_socket(plain, server_hostname=url.hostname))
        except OSError:
            plain.close()
            raise

    def request(self, method: str, name: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The head of a request for an object."""
        target, common = self._common
        return _head(method, f"{target}/{name}", {**common, **(headers or {})})

    @cached_property
    def _common(self) -> tuple[str, Mapping[str, str]]:
        """What is asked for, up to an object's name, and the headers of each request."""
        url = urlsplit(self.base)
        headers = {"Host": url.netloc, **self.headers}
        if self.proxy and self.context is None:
            return self.base, {**headers, **(self.to_proxy or {})}
        return url.path, headers

    @property
    def _peer(self) -> tuple[str, int]:
        peer = self.proxy or urlsplit(self.base)
        return peer.hostname or "", peer.port or _PORTS[peer.scheme]

    def _tunnel(self, connection: Connection, target: str) -> None:
        connection.send(_head("CONNECT", target, {"Host": target, **(self.to_proxy or {})}), _CONNECT)
        answer = connection.answer(content=False)
        if answer.status != 200:
            raise OSError(f"the proxy answered {answer.status} {answer.reason}")


class Connection:
    """One connection, for one thread at a time. `kept` says that it can be asked again."""

    def __init__(self, opened: socket.socket) -> None:
        self.kept = True
        self._socket = opened
        self._stream: IO[bytes] = opened.makefile("rb")

    def close(self) -> None:
        with suppress(OSError):
            self._stream.close()
            self._socket.close()

    def send(self, data: bytes, timeout: float) -> None:
        """Send all of it; `timeout`, in seconds, is also for each wait for the answer."""
        self._socket.settimeout(timeout)
        self._socket.sendall(data)

    def send_chunked(self, pieces: Iterable[bytes]) -> None:
        """A body of which nobody knows the size; its request says `Transfer-Encoding: chunked`."""
        for piece in pieces:
            self._socket.sendall(b"%x\r\n" % len(piece))
            self._socket.sendall(piece)
            self._socket.sendall(b"\r\n")
        self._socket.sendall(b"0\r\n\r\n")

    def answer(self, *, content: bool = True) -> Answer:
        """The next answer; one to CONNECT has no `content`."""
        try:
            return self._answer(content)
        except ValueError:
            raise OSError("the server's answer is not HTTP") from None

    def _answer(self, content: bool) -> Answer:
        version, status, reason = self._status()
        while 100 <= status < 200:
            dict(self._headers())
            version, status, reason = self._status()
        headers = dict(self._headers())
        self.kept = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        body = self._content(headers) if content and status not in _BARE else b""
        return Answer(status, reason, headers, body)

    def _status(self) -> tuple[str, int, str]:
        version, _, rest = self._line().partition(" ")
        status, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError
        return version, int(status), reason

    def _headers(self) -> Iterator[tuple[str, str]]:
        while line := self._line():
            name, _, value = line.partition(":")
            yield name.strip().lower(), value.strip()

    def _line(self) -> str:
        line = self._stream.readline(_LINE)
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the server closed the connection")
        return line.decode("latin-1").rstrip("\r\n")

    def _content(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        self.kept = False
        return self._stream.read(_LARGEST)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().partition(";")[0], 16):
            yield self._exactly(size)
            self._line()
        dict(self._headers())

    def _exactly(self, size: int) -> bytes:
        if not 0 <= size <= _LARGEST:
            raise ValueError
        content = self._stream.read(size)
        if len(content) < size:
            raise ConnectionResetError("the server closed the connection")
        return content


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")
