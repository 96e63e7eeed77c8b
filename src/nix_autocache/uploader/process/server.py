"""The uploader's socket: which users may connect, and how many connections and how much time each gets.

One thread reads all requests, so clients that are silent, slow or too talkative cost almost nothing. A user who opens
too many connections loses their own oldest ones. No client, and no shortage on this machine, ends that thread.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...system import log
from ...system.dataclass import dataclass, field
from ...system.files import set_mode
from ...system.sockets import at, peer
from .protocol import MAX_REQUEST, Request, parse_request

_TIMEOUT: Final = 10.0  # seconds for a client to send its request, and to take each part of the answer
_PER_USER: Final = 32  # connections of one user without a request yet, and as many that are being answered
_BACKLOG: Final = 128
_IDLE: Final = 1.0  # seconds without a client
_RETRY: Final = 0.1  # seconds
_DESCRIPTORS_PAUSE: Final = 0.01  # seconds for closed descriptors to become free

Handler = Callable[[socket.socket, Request, int], None]
"""Answers a request on its connection, for the user with this id."""


@dataclass(eq=False)
class _Client:
    connection: socket.socket
    user: int
    deadline: float
    received: bytes = b""


@dataclass
class ControlServer:
    """Reads requests of the users in `allowed`, and closes the connections of all others."""

    listening: socket.socket
    allowed: Container[int]
    answer: Handler
    _reading: list[_Client] = field(default_factory=list)
    _answering: list[_Client] = field(default_factory=list)
    _unanswered: list[tuple[_Client, Request]] = field(default_factory=list)  # no thread could be started
    _last_turn: float = field(default_factory=time.monotonic)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def serve(self) -> None:
        """Serve until the process ends."""
        self._selector.register(self.listening, selectors.EVENT_READ)
        while True:
            self._last_turn = time.monotonic()
            try:
                self._turn()
            except Exception:
                log.exception()
                time.sleep(_RETRY)

    @property
    def silence(self) -> float:
        """Seconds since it last listened."""
        return time.monotonic() - self._last_turn

    def _turn(self) -> None:
        for key, _ in self._selector.select(timeout=_RETRY if self._unanswered else _IDLE):
            if key.data is None:
                self._accept()
            else:
                self._read(key.data)
        waiting, self._unanswered = self._unanswered, []
        for client, request in waiting:
            self._answer(client, request)
        for client in [client for client in self._reading if client.deadline < time.monotonic()]:
            self._hang_up(client)

    def _accept(self) -> None:
        try:
            connection, _ = self.listening.accept()
        except OSError:  # the client is gone, or no descriptor is free: close the oldest connections
            for client in self._reading[:_PER_USER]:
                self._hang_up(client)
            time.sleep(_DESCRIPTORS_PAUSE)
            return
        try:
            user = peer(connection)
            connection.setblocking(False)
        except OSError:
            connection.close()
            return
        if user not in self.allowed:
            connection.close()
            return
        client = _Client(connection, user, time.monotonic() + _TIMEOUT)
        if oldest := _surplus(self._reading, user):
            self._hang_up(oldest)
        self._reading.append(client)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _read(self, client: _Client) -> None:
        """Read what has arrived; a whole line is answered in its own thread."""
        try:
            piece = client.connection.recv(MAX_REQUEST - len(client.received))
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        client.received += piece
        if client.received.endswith(b"\n"):
            self._begin(client)
        elif not piece or len(client.received) >= MAX_REQUEST:
            self._hang_up(client)

    def _begin(self, client: _Client) -> None:
        self._forget(client)
        request = parse_request(client.received)
        if request is None:
            client.connection.close()
            return
        if oldest := _surplus(self._answering, client.user):
            with suppress(OSError):
                oldest.connection.shutdown(socket.SHUT_RDWR)  # its thread closes it
        self._answering.append(client)
        client.deadline = time.monotonic() + _TIMEOUT
        self._answer(client, request)

    def _answer(self, client: _Client, request: Request) -> None:
        """Answer in a new thread, or later if none can be started now."""
        try:
            threading.Thread(target=self._converse, args=(client, request), daemon=True).start()
        except (RuntimeError, MemoryError):
            if time.monotonic() < client.deadline:
                self._unanswered.append((client, request))
            else:
                self._answering.remove(client)
                client.connection.close()

    def _converse(self, client: _Client, request: Request) -> None:
        try:
            with client.connection:
                client.connection.settimeout(_TIMEOUT)
                self.answer(client.connection, request, client.user)
        except OSError:
            pass  # the client is gone
        except Exception:
            log.exception()
        finally:
            self._answering.remove(client)

    def _hang_up(self, client: _Client) -> None:
        self._forget(client)
        client.connection.close()

    def _forget(self, client: _Client) -> None:
        self._reading.remove(client)
        self._selector.unregister(client.connection)


def listen(path: Path, *, open_to_all: bool) -> socket.socket:
    """Bind and listen. With `open_to_all` anyone may connect, and `ControlServer.allowed` decides."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with at(path) as address:
        server.bind(address)
    set_mode(path, 0o777 if open_to_all else 0o700)
    server.listen(_BACKLOG)
    server.setblocking(False)
    return server


def _surplus(clients: list[_Client], user: int) -> _Client | None:
    """The oldest of this user's clients, if one more would be too many."""
    theirs = [client for client in clients if client.user == user]
    return theirs[0] if len(theirs) >= _PER_USER else None
