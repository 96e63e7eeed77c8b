"""The HTTP of the local reader: GET and HEAD from many connections of Nix, and from whoever else is on this machine.

Nobody can use it up: each user has so many connections, so long to say what they want, and loses an idle one where
there are too many. What goes wrong is a line in the log now and then, not one for each request.
"""

from __future__ import annotations

import errno
import resource
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import unquote

from ...caches.protocol import Content
from ...errors import one_line
from ...system import log
from .peers import Readers, user_of

T = TypeVar("T")

OF_ONE_USER: Final = 512  # connections; a daemon opens 128 for a build
_DESCRIPTORS: Final = 8192  # that we want
_OTHERS: Final = 192  # descriptors for the cache's connections, files and the like
_HEAD: Final = 5.0  # seconds to say what is wanted on a new connection
_IDLE: Final = 60.0  # seconds without a request on a connection that had one
_STALLED: Final = 60.0  # seconds in which nothing of an answer is taken
_OFTEN: Final = 30.0  # seconds between lines in the log
_STACK: Final = 256 << 10  # bytes of a thread's stack


class Shelf(Protocol):
    def open(self, name: str) -> Content | None: ...

    def exists(self, name: str) -> bool: ...


@dataclass(eq=False)
class _Visit:
    """A connection. `until` is when it must have said what it wants, None while it is answered."""

    connection: socket.socket
    user: int
    until: float | None


class ReadServer(ThreadingHTTPServer):
    """Serves from a socket that listens already."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, shelf: Shelf, readers: Readers) -> None:
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.shelf = shelf
        self._readers = readers
        self._visits: dict[socket.socket, _Visit] = {}
        self._lock = threading.Lock()
        self._most = _raise_descriptors() - _OTHERS
        self._logged = float("-inf")
        threading.stack_size(_STACK)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._make_room()
            raise

    def _make_room(self) -> None:
        """There are no descriptors: who has most connections gives some."""
        with self._lock:
            users = [visit.user for visit in self._visits.values()]
        for _ in range(16 if users else 0):
            self._hang_up_on(max(set(users), key=users.count))

    def verify_request(self, request: Any, client_address: Any) -> bool:
        user = user_of(request)
        if user is None:
            return False
        with self._lock:
            users = [visit.user for visit in self._visits.values()]
        if len(users) >= self._most:
            most = max(set(users), key=users.count)
            if not self._hang_up_on(most):
                return False
        elif users.count(user) >= min(OF_ONE_USER, self._most) and not self._hang_up_on(user):
            return False
        with self._lock:
            self._visits[request] = _Visit(request, user, time.monotonic() + _HEAD)
        return True

    def _hang_up_on(self, user: int) -> bool:
        """Close the connection of this user that has been idle for longest; whether there was one."""
        with self._lock:
            idle = [visit for visit in self._visits.values() if visit.user == user and visit.until is not None]
            if idle:
                self._hang_up(min(idle, key=lambda visit: visit.until or 0.0))
            return bool(idle)

    def _hang_up(self, visit: _Visit) -> None:
        """Its thread sees the end of what it reads, and closes it. The lock is held."""
        del self._visits[visit.connection]
        with suppress(OSError):
            visit.connection.shutdown(socket.SHUT_RDWR)

    def service_actions(self) -> None:
        """Called every half second, and after each connection."""
        with self._lock:
            now = time.monotonic()
            for visit in [visit for visit in self._visits.values() if visit.until is not None and visit.until < now]:
                self._hang_up(visit)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In a connection's thread, since Nix may have to be asked."""
        visit = self._visits.get(request)
        if visit and self._readers.may_read(visit.user):
            super().process_request_thread(request, client_address)
        else:
            self.shutdown_request(request)

    def mark(self, connection: socket.socket, *, answered: bool) -> None:
        """From a connection's thread: it said what it wants, or has its answer."""
        with self._lock:
            if visit := self._visits.get(connection):
                visit.until = time.monotonic() + _IDLE if answered else None

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._visits.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up, or no thread for it: the others are answered all the same."""

    def complain(self, text: str) -> None:
        if time.monotonic() - self._logged > _OFTEN:
            self._logged = time.monotonic()
            log.line(text)


class _Handler(BaseHTTPRequestHandler):
    """One connection of Nix's; it keeps it for many requests."""

    server: ReadServer
    protocol_version = "HTTP/1.1"
    timeout = _STALLED
    disable_nagle_algorithm = True
    wbufsize = 64 << 10  # so that a narinfo and its head are one packet

    def parse_request(self) -> bool:
        understood = super().parse_request()
        self.server.mark(self.connection, answered=False)
        return understood

    def handle_one_request(self) -> None:
        super().handle_one_request()
        self.server.mark(self.connection, answered=True)

    def do_GET(self) -> None:
        content = self._asked(self.server.shelf.open)
        if content is None:
            self._say(404, 0)
            return
        try:
            self._say(200, content.size)
            for piece in filter(None, content.pieces):
                self.wfile.write(piece if content.size is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"" if content.size is not None else b"0\r\n\r\n")
        except Exception as error:
            self.server.complain(f"{self.path[:200]!r}: {one_line(error)}")
            self.close_connection = True  # too late to say anything else
        finally:
            content.close()

    def do_HEAD(self) -> None:
        there = self._asked(self.server.shelf.exists)
        self._say(200 if there else 404, None if there else 0)

    def _asked(self, ask: Callable[[str], T]) -> T | None:
        """What the cache has; nothing where anything goes wrong."""
        try:
            return ask(unquote(self.path).removeprefix("/"))  # Nix 2.34 encodes the ! of a realisation
        except Exception as error:
            self.server.complain(f"{self.path[:200]!r}: {one_line(error)}")
            return None

    def _say(self, status: int, size: int | None) -> None:
        """The head of an answer; a content whose size is not known goes in chunks."""
        self.send_response(status)
        if size is not None:
            self.send_header("Content-Length", str(size))
        elif self.command == "GET":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Whoever is on this machine could fill the disk with requests that are wrong."""


def _raise_descriptors() -> int:
    """As many descriptors as we want, or may have; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, _DESCRIPTORS)
