"""PUT requests to an HTTP cache, which follow redirects with their body.

HTTP has no multipart upload, so a large archive is one PUT: with a chunked body, or packed twice if the server must
know its size first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from . import redirects
from .http1 import Connection, Response
from .http_read import QUESTION, STREAM, Reader
from .http_servers import Servers
from .http_status import ARCHIVES
from .prefetch import prefetch
from .protocol import Body
from .redirects import Target

_ARCHIVE: Final = 180.0  # seconds for an archive in one piece: 4 MB take 16 at 2 Mbit/s
_SMALL: Final = 64 << 10  # bytes that can be sent in the time of a question
_AHEAD: Final = 2 << 20  # bytes that are packed while earlier ones are sent
_SPARE: Final = 2  # connections that archives leave to narinfos
_CREATED: Final = 201
_UNCHUNKED: Final = frozenset({400, 411, 501})  # statuses by which servers refuse a body without Content-Length


class Writer:
    """Used from many threads at once."""

    def __init__(self, servers: Servers, reader: Reader) -> None:
        self._servers, self._reader = servers, reader
        self._needs_size = False  # true once the server has taken a body only with its size
        self._broken: set[str] = set()  # objects whose chunked body was cut off
        self._stores_chunks = False  # true once a chunked body was seen in the cache

    def put(self, name: str, body: Body, headers: Mapping[str, str]) -> Response:
        """The final response. The body is sent to each target, and packed again for it. Raises OSError."""
        target = self._servers.target(name)
        for _ in range(redirects.MAX_REDIRECTS + 1):
            if isinstance(body, bytes):
                response = self._send(target, name, body, headers)
            else:
                response = self._stream(target, name, body, headers)
            next_target = redirects.redirected(target, response.status, response.headers)
            if next_target is None:
                break
            target = next_target
            if redirects.is_result(response.status):
                _, connection, response = self._reader.begin(target)
                connection.close()
                break
        return response

    def made_folders(self, name: str) -> bool:
        """True if the server lacked a folder for this object and has it now. Only WebDAV has any (RFC 4918, 9.3)."""
        folders = name.split("/")[:-1]
        made = [self._make_folder("/".join(folders[: depth + 1])) for depth in range(len(folders))]
        return any(made)

    def _make_folder(self, name: str) -> bool:
        target = self._servers.target(name)
        pool = self._servers.pool(target.origin)
        request = pool.origin.request("MKCOL", target.path, {"Content-Length": "0"})

        def send(connection: Connection) -> Response:
            connection.send(request, QUESTION)
            return connection.response()

        return pool.use(send).status == _CREATED

    def _send(self, target: Target, name: str, body: bytes, headers: Mapping[str, str]) -> Response:
        pool = self._servers.pool(target.origin)
        request = pool.origin.request("PUT", target.path, {**headers, "Content-Length": str(len(body))}) + body

        def send(connection: Connection) -> Response:
            with suppress(BrokenPipeError, ConnectionResetError):  # as in _send_pieces
                connection.send(request, QUESTION if len(body) <= _SMALL else _ARCHIVE)
            return connection.response()

        return pool.use(send, _SPARE if name.startswith(ARCHIVES) else 0)

    def _stream(self, target: Target, name: str, body: Iterable[bytes], headers: Mapping[str, str]) -> Response:
        """Sends the size of the body only to a server that needs it, since then the body is packed twice."""
        if self._needs_size or self._reader.met_http_1_0 or name in self._broken:  # HTTP/1.0 has no chunks
            return self._send_with_size(target, body, headers)
        try:
            response = self._send_pieces(target, body, {**headers, "Transfer-Encoding": "chunked"})
        except OSError:
            self._broken.add(name)  # a server that refuses a body often closes before its response is read
            raise
        if response.status not in _UNCHUNKED and (response.status >= 300 or self._is_stored(name)):
            return response
        response = self._send_with_size(target, body, headers)
        self._needs_size = self._needs_size or response.status < 300
        return response

    def _send_with_size(self, target: Target, body: Iterable[bytes], headers: Mapping[str, str]) -> Response:
        size = sum(map(len, body))
        return self._send_pieces(target, body, {**headers, "Content-Length": str(size)})

    def _send_pieces(self, target: Target, body: Iterable[bytes], headers: Mapping[str, str]) -> Response:
        pool = self._servers.pool(target.origin)
        request = pool.origin.request("PUT", target.path, headers)

        def send(connection: Connection) -> Response:
            with prefetch(body, _AHEAD) as packed:
                # A server that refuses the rest responds before it closes; if it did not, response() raises.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.send(request, STREAM)
                    (connection.send_all if "Content-Length" in headers else connection.send_chunked)(packed)
                return connection.response()

        return pool.use_new(send)

    def _is_stored(self, name: str) -> bool:
        """False if the first chunked body arrived empty, as on some servers."""
        if not self._stores_chunks:
            with suppress(OSError):
                response = self._reader.ask("HEAD", name)
                if response.status == 200 and response.headers.get("content-length") == "0":
                    return False
            self._stores_chunks = True
        return True
