"""HTTP/1.1, request by request (RFC 9112). Plain on purpose: who asks follows redirects, see `redirects`.

Whatever breaks off, or is not HTTP, raises OSError. An answer is small, unless it is read piece by piece.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    import ssl

_CONNECT: Final = 10.0  # seconds for a connection
LARGEST: Final = 1 << 20  # bytes of an answer's content
_PIECE: Final = 256 << 10  # bytes at most, of a content that is read piece by piece
_LINE: Final = 8192  # bytes
_HEADERS: Final = 256  # lines of a head
_INTERIM: Final = 8  # answers before the answer
_PORTS: Final = {"http": 80, "https": 443}
_OF_AWS: Final = ip_network("fd00:ec2::/32")  # IMDS, ECS and EKS by IPv6
_OF_AZURE: Final = ip_address("168.63.129.16")
_BARE: Final = frozenset({204, 304})  # answers without content


class NoCacheError(OSError):
    """An answer that no binary cache gives, however often it is asked."""


class TooLargeError(NoCacheError):
    """The content of an answer is not the small one that was asked for."""

    def __init__(self) -> None:
        super().__init__(f"the answer is larger than the {LARGEST >> 20} MB that such a file can have")


@dataclass(frozen=True)
class Response:
    """An answer that was read to its end; names of `headers` in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Origin:
    """The server at `base`, and the `headers` that each request carries; with a `proxy`, by way of that one.

    `to_proxy` are headers for the proxy alone. One that is `named_by_another` may not be a service of this machine's
    own network, such as that with its credentials: a cache could send us there for whom that is closed.
    """

    base: str
    headers: Mapping[str, str]
    context: ssl.SSLContext | None = None
    proxy: SplitResult | None = None
    to_proxy: Mapping[str, str] | None = None
    named_by_another: bool = False

    def connect(self) -> Connection:
        """A new connection. Raises OSError."""
        if self._is_checked:
            for *_, address in socket.getaddrinfo(*self._peer, type=socket.SOCK_STREAM):
                _check_address(str(address[0]))
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
            if self._is_checked:  # once more: a name may have another address by now
                _check_address(str(plain.getpeername()[0]))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is None:
                return Connection(plain)
            if self.proxy:
                self._tunnel(Connection(plain), f"{url.hostname}:{url.port or _PORTS[url.scheme]}")
            return Connection(self.context.wrap_socket(plain, server_hostname=url.hostname))
        except OSError:
            plain.close()
            raise

    def request(self, method: str, target: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The head of a request for a path, perhaps with a query."""
        prefix, common = self._common
        return _head(method, f"{prefix}{target}", {**common, **(headers or {})})

    @cached_property
    def _common(self) -> tuple[str, Mapping[str, str]]:
        """What stands before each path, and the headers of each request."""
        headers = {"Host": urlsplit(self.base).netloc, "Accept-Encoding": "identity", **self.headers}
        if self.proxy and self.context is None:
            return self.base, {**headers, **(self.to_proxy or {})}
        return "", headers

    @property
    def _is_checked(self) -> bool:
        return self.named_by_another and not self.proxy

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
    """One connection, for one thread at a time. `kept` says that it can be asked again, `version` what HTTP the server
    speaks, once it has answered."""

    def __init__(self, opened: socket.socket) -> None:
        self.kept = True
        self.version = ""
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

    def send_all(self, pieces: Iterable[bytes]) -> None:
        """A body of which the request gave the size."""
        for piece in pieces:
            self._socket.sendall(piece)

    def answer(self, *, content: bool = True) -> Response:
        """The next answer; one to CONNECT or HEAD has no `content`. Raises TooLargeError for one that is not small."""
        begun = self.begin_answer()
        if not content:
            return begun
        size, pieces = 0, []
        for piece in self.content(begun):
            size += len(piece)
            if size > LARGEST:
                raise TooLargeError
            pieces.append(piece)
        return replace(begun, content=b"".join(pieces))

    def begin_answer(self) -> Response:
        """The next answer without its content, which may then be read with `content`."""
        try:
            version, status, reason = self._status()
            for _ in range(_INTERIM):
                if not 100 <= status < 200:
                    break
                dict(self._headers())
                version, status, reason = self._status()
            else:
                raise ValueError
            headers = dict(self._headers())
        except ValueError:
            raise OSError("the server's answer is not HTTP") from None
        self.version = version
        self.kept = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        return Response(status, reason, headers, b"")

    def content(self, begun: Response) -> Iterator[bytes]:
        """The content of an answer, of whatever size, until its end."""
        try:
            yield from () if begun.status in _BARE else self._content(begun.headers)
        except ValueError:
            raise OSError("the server's answer is not HTTP") from None

    def _status(self) -> tuple[str, int, str]:
        version, _, rest = self._line().partition(" ")
        status, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError
        return version, int(status), reason

    def _headers(self) -> Iterator[tuple[str, str]]:
        for _ in range(_HEADERS):
            if not (line := self._line()):
                return
            name, _, value = line.partition(":")
            yield name.strip().lower(), value.strip()
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
            dict(self._headers())
        elif "content-length" in headers:
            yield from self._exactly(int(headers["content-length"]))
        else:
            self.kept = False
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


def _check_address(text: str) -> None:
    """Raises NoCacheError for where clouds have the services that know a machine's credentials."""
    address = ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_link_local or address in _OF_AWS or address == _OF_AZURE:
        raise NoCacheError(f"it sends us to {address}, a service for this machine alone, which no cache is")


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")
