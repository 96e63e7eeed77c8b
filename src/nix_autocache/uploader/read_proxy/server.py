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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


class Objects(Protocol):
    """The objects to serve; None and False for those that are missing."""

    def open(self, name: str) -> Content | None: ...

    def exists(self, name: str) -> bool: ...


class ReadServer(ThreadingHTTPServer):
    """Serves `objects` to the users in `allowed`, from a socket that listens already."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, objects: Objects, allowed: AllowedUsers) -> None:
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.objects = objects
        self.connections = Connections()
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


class _Handler(BaseHTTPRequestHandler):
    """One connection, which Nix keeps for many requests."""

    server: ReadServer
    protocol_version = "HTTP/1.1"
    timeout = _STALLED
    disable_nagle_algorithm = True
    wbufsize = 64 << 10  # so that a narinfo and its head are one packet

    def parse_request(self) -> bool:
        understood = super().parse_request()
        self.server.connections.mark(self.connection, answered=False)
        return understood

    def handle_one_request(self) -> None:
        super().handle_one_request()
        self.server.connections.mark(self.connection, answered=True)

    def do_GET(self) -> None:
        content = self._found(self.server.objects.open)
        if content is None:
            self._send_head(404, 0)
            return
        try:
            self._send_head(200, content.size)
            for piece in filter(None, content.pieces):
                self.wfile.write(piece if content.size is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"" if content.size is not None else b"0\r\n\r\n")
        except Exception as error:
            self.server.log_error(f"{self.path[:200]!r}: {one_line(error)}")
            self.close_connection = True  # too late for another status
        finally:
            content.close()

    def do_HEAD(self) -> None:
        exists = self._found(self.server.objects.exists)
        self._send_head(200 if exists else 404, None if exists else 0)

    def _found(self, ask: Callable[[str], T]) -> T | None:
        """The result of `ask` for the path; None after any error."""
        try:
            return ask(unquote(self.path).removeprefix("/"))  # Nix 2.34 encodes the ! of a realisation
        except Exception as error:
            self.server.log_error(f"{self.path[:200]!r}: {one_line(error)}")
            return None

    def _send_head(self, status: int, size: int | None) -> None:
        """Content of unknown size is sent in chunks."""
        self.send_response(status)
        if size is not None:
            self.send_header("Content-Length", str(size))
        elif self.command == "GET":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing: any user could fill the disk with bad requests."""
