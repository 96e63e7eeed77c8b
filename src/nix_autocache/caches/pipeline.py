"""Many small objects of an HTTP server by few connections: the requests go out together, the answers come in order.

To be used for questions only (RFC 9112, 9.3.2: pipelining is for safe methods). It is a shortcut that may end early:
what has no plain answer here, for whatever reason, the caller asks again one by one.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

_TIMEOUT: Final = 5.0  # seconds without a byte
_LARGEST: Final = 1 << 20  # bytes of an object
_LINE: Final = 8192  # bytes
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Server:
    """An HTTP server at `base`, asked with `headers`."""

    base: str
    headers: Mapping[str, str]
    context: ssl.SSLContext | None

    def get_many(self, names: Sequence[str]) -> dict[str, bytes | None]:
        """The content of those objects that the server answered for; None for one that is not there."""
        found: dict[str, bytes | None] = {}
        try:
            with self._connect() as connection, connection.makefile("rb") as stream:
                connection.sendall(b"".join(map(self._request, names)))
                for name, (content, more) in zip(names, _answers(stream), strict=False):
                    found[name] = content
                    if not more:
                        break
        except (OSError, ValueError, EOFError):
            pass
        return found

    def _connect(self) -> socket.socket:
        parts = urlsplit(self.base)
        plain = socket.create_connection((parts.hostname, parts.port or _PORTS[parts.scheme]), _TIMEOUT)
        if self.context is None:
            return plain
        return self.context.wrap_socket(plain, server_hostname=parts.hostname)

    def _request(self, name: str) -> bytes:
        parts = urlsplit(f"{self.base}/{name}")
        headers = {"Host": parts.netloc, **self.headers}
        lines = [f"GET {parts.path} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1")


def _answers(stream: IO[bytes]) -> Iterator[tuple[bytes | None, bool]]:
    """Each answer's content, and whether the connection goes on. Raises ValueError for one that is neither yes nor no
    in the plainest of forms."""
    while True:
        version, status = stream.readline(_LINE).split(None, 2)[:2]
        headers = dict(_headers(stream))
        size = -1 if b"transfer-encoding" in headers else int(headers.get(b"content-length", -1))
        if version != b"HTTP/1.1" or status not in {b"200", b"404"} or not 0 <= size <= _LARGEST:
            raise ValueError("not an answer to build on")
        content = stream.read(size)
        if len(content) < size:
            raise EOFError
        yield content if status == b"200" else None, headers.get(b"connection", b"").lower() != b"close"


def _headers(stream: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    while (line := stream.readline(_LINE)) not in {b"\r\n", b"\n"}:
        if not line.endswith(b"\n"):
            raise EOFError
        name, _, value = line.partition(b":")
        yield name.strip().lower(), value.strip()
