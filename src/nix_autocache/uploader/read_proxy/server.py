"""The HTTP server of the read proxy: GET and HEAD on many connections, of Nix and of anyone else on this machine.

`Connections` limits what one user can take. Errors are one line in the log every 30 seconds, not one per request: any
user could fill the disk.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import unquote

from ...caches.protocol import Content
from ...errors import one_line
from ...system import log
from .connections import Connections
from .peers import AllowedUsers, user_of

T = TypeVar("T")

_STALLED: Final = 60.0  # seconds in which the client takes nothing of an answer
_LOG_INTERVAL: Final = 30.0  # seconds
_STACK: Final = 256 << 10  # bytes of a thread's stack
_LINE: Final = 64 << 10  # bytes of a request's line
_HEADERS: Final = 100  # of a request
_OK: Final = "200 OK"
_MISSING: Final = "404 Not Found"


class Objects(Protocol):
    """The objects to serve; None and False for those that are missing."""

    def open(self, name: str) -> Content | None: ...

    def exists(self, name: str) -> bool: ...


class ReadServer(ThreadingTCPServer):
    """Serves `objects` to the users in `allowed`, from a socket that listens already, below the path `nonce`."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, objects: Objects, allowed: AllowedUsers, nonce: str) -> None:
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.objects = objects
        self.connections = Connections()
        self.prefix = f"/{nonce}/" if nonce else "/"
        self._allowed = allowed
        self._logged = float("-inf")
        threading.stack_size(_STACK)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self.connections.make_room()
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        user = user_of(request)
        return user is not None and self.connections.admit(request, user)

    def service_actions(self) -> None:
        """Called every half second, and after each connection."""
        self.connections.close_expired()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Check the user in the connection's own thread: Nix may have to be asked."""
        user = self.connections.user(request)
        if user is not None and self._allowed.may_read(user):
            super().process_request_thread(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        self.connections.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: the client hung up, or no thread could be started."""

    def log_error(self, text: str) -> None:
        if time.monotonic() - self._logged > _LOG_INTERVAL:
            self._logged = time.monotonic()
            log.line(text)


class _Handler(StreamRequestHandler):
    """One connection, which Nix keeps for many requests. http.server's own takes four times as long for each."""

    server: ReadServer
    timeout = _STALLED
    disable_nagle_algorithm = True
    wbufsize = 64 << 10  # so that a narinfo and its head are one packet

    def handle(self) -> None:
        while self._answer_next():
            self.wfile.flush()
            self.server.connections.mark(self.connection, answered=True)
        with suppress(OSError):
            self.wfile.flush()

    def _answer_next(self) -> bool:
        """False if the connection has to be closed."""
        line = self.rfile.readline(_LINE)
        if not line:
            return False
        words = line.decode("latin-1").split()
        keep_alive = self._read_headers(kept=words[-1:] == ["HTTP/1.1"])
        self.server.connections.mark(self.connection, answered=False)
        if keep_alive is None or len(words) != 3 or not words[2].startswith("HTTP/1."):
            return self._send_head("400 Bad Request", 0, keep=False)
        method, path, _ = words
        match method:
            case "GET":
                return self._get(path, keep=keep_alive)
            case "HEAD":
                exists = self._found(path, self.server.objects.exists)
                return self._send_head(_OK if exists else _MISSING, None if exists else 0, keep=keep_alive)
        return self._send_head("501 Not Implemented", 0, keep=False)

    def _read_headers(self, *, kept: bool) -> bool | None:
        """Whether the connection is to be kept: `kept`, unless the client says otherwise. None if they are too long."""
        for _ in range(_HEADERS):
            line = self.rfile.readline(_LINE)
            if line in {b"\r\n", b"\n"}:
                return kept
            if not line.endswith(b"\n"):
                return None
            name, _, value = line.lower().partition(b":")
            if name == b"connection":
                kept = value.strip() != b"close" and (kept or value.strip() == b"keep-alive")
        return None

    def _get(self, path: str, *, keep: bool) -> bool:
        content = self._found(path, self.server.objects.open)
        if content is None:
            return self._send_head(_MISSING, 0, keep=keep)
        try:
            self._send_head(_OK, content.size, keep=keep, chunked=content.size is None)
            for piece in filter(None, content.pieces):
                self.wfile.write(piece if content.size is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"" if content.size is not None else b"0\r\n\r\n")
        except Exception as error:
            self.server.log_error(f"{path[:200]!r}: {one_line(error)}")
            return False  # too late for another status
        finally:
            content.close()
        return keep

    def _found(self, path: str, ask: Callable[[str], T]) -> T | None:
        """The result of `ask` for the object at the path; None after any error, and for a path of another job."""
        if not path.startswith(prefix := self.server.prefix):
            return None
        try:
            return ask(unquote(path.removeprefix(prefix)))  # Nix 2.34 encodes the ! of a realisation
        except Exception as error:
            self.server.log_error(f"{path[:200]!r}: {one_line(error)}")
            return None

    def _send_head(self, status: str, size: int | None, *, keep: bool, chunked: bool = False) -> bool:
        """Content of unknown size is sent in chunks. Returns `keep`."""
        length = "" if size is None else f"Content-Length: {size}\r\n"
        coding = "Transfer-Encoding: chunked\r\n" if chunked else ""
        end = "" if keep else "Connection: close\r\n"
        self.wfile.write(f"HTTP/1.1 {status}\r\n{length}{coding}{end}\r\n".encode())
        return keep
