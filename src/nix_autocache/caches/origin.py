"""One HTTP server and the way to it: directly, by a proxy, by TLS."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from ..system import version
from ..system.dataclass import dataclass, field
from ..system.net import DEFAULT_PORTS
from .http1 import Connection, NoCacheError

if TYPE_CHECKING:
    import ssl

_CONNECT: Final = 10.0  # seconds for a connection
_OF_AWS: Final = ip_network("fd00:ec2::/32")  # IMDS, ECS and EKS by IPv6
_OF_AZURE: Final = ip_address("168.63.129.16")


@dataclass(frozen=True)
class Origin:
    """The server at `base`. Each request carries `headers`; `to_proxy` are headers for the proxy alone.

    An `untrusted` server, to which another one redirected us, must not be a service of this machine's own network: a
    cache could otherwise make us ask the service that gives out the machine's credentials.
    """

    base: str
    headers: Mapping[str, str] = field(repr=False)
    context: ssl.SSLContext | None = None
    proxy: SplitResult | None = field(default=None, repr=False)
    to_proxy: Mapping[str, str] | None = field(default=None, repr=False)
    untrusted: bool = False

    def connect(self) -> Connection:
        """A new connection. Raises OSError."""
        if self._is_checked:
            host, port = self._peer
            for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                _check_address(str(address[0]))
        return self.secured(socket.create_connection(self._peer, _CONNECT))  # type: ignore[arg-type]  # bytes will do

    def dial(self, count: int) -> Iterator[socket.socket]:
        """Start connections to the first address of the server; `secured` finishes each. Raises OSError."""
        host, port = self._peer
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        for _ in range(count):
            plain = socket.socket(family, kind, protocol)
            plain.setblocking(False)
            plain.connect_ex(address)
            yield plain

    def secured(self, plain: socket.socket) -> Connection:
        """A dialled connection, ready for requests. Raises OSError."""
        url = urlsplit(self.base)
        try:
            plain.settimeout(_CONNECT)
            plain.send(b"")  # waits until it is connected
            if self._is_checked:  # again: the name may have another address by now
                _check_address(str(plain.getpeername()[0]))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is None:
                return Connection(plain)
            if self.proxy:
                self._tunnel(Connection(plain), f"{url.hostname}:{url.port or DEFAULT_PORTS[url.scheme]}")
            return Connection(self.context.wrap_socket(plain, server_hostname=url.hostname))
        except OSError:
            plain.close()
            raise

    def request(self, method: str, target: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The head of a request for a path, which may have a query."""
        prefix, common = self._common
        return _head(method, f"{prefix}{target}", {**common, **(headers or {})})

    @cached_property
    def _common(self) -> tuple[str, Mapping[str, str]]:
        """The text before each path, and the headers of each request."""
        own = {"Accept-Encoding": "identity", "User-Agent": version.user_agent()}
        headers = {"Host": urlsplit(self.base).netloc, **own, **self.headers}
        if self.proxy and self.context is None:
            return self.base, {**headers, **(self.to_proxy or {})}
        return "", headers

    @property
    def _is_checked(self) -> bool:
        return self.untrusted and not self.proxy

    @property
    def _peer(self) -> tuple[str | bytes, int]:
        """A name in ASCII is bytes: for text, Python first loads what encodes all other names."""
        peer = self.proxy or urlsplit(self.base)
        host = peer.hostname or ""
        return host.encode() if host.isascii() else host, peer.port or DEFAULT_PORTS[peer.scheme]

    def _tunnel(self, connection: Connection, target: str) -> None:
        connection.send(_head("CONNECT", target, {"Host": target, **(self.to_proxy or {})}), _CONNECT)
        response = connection.response(content=False)
        if response.status != 200:
            raise OSError(f"the proxy answered {response.status} {response.reason}")


def _check_address(text: str) -> None:
    """Raises NoCacheError for an address at which clouds give a machine its credentials."""
    address = ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_link_local or address in _OF_AWS or address == _OF_AZURE:
        raise NoCacheError(f"it sends us to {address}, a service for this machine alone, which no cache is")


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")
