"""The uploader's socket: who is heard on it, and how much of their time and ours they may take.

Requests are read without a thread, so that clients that say nothing, too much or too slowly cost next to nothing. A
user who connects too often loses the oldest connections, and nobody else's. Nothing that a client does, or that this
machine lacks for a moment, ends the thread that listens.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...system import log
from ...system.files import set_mode
from ...system.sockets import at

MAX_REQUEST: Final = 4096  # bytes
_PATIENCE: Final = 10.0  # seconds that a client may take to say what it wants
_AT_ONCE: Final = 32  # connections of one user that have not said it yet, and as many that are answered
_BACKLOG: Final = 128
_IDLE: Final = 1.0  # seconds without a client
_RESPITE: Final = 0.1  # seconds until what could not be done now is tried again
_MOMENT: Final = 0.01  # seconds for descriptors to come back

Answer = Callable[[socket.socket, dict[str, Any], int], None]
"""Answers a request on its connection; the number is that of the user who asked."""


@dataclass(eq=False)
class _Client:
    connection: socket.socket
    user: int
    deadline: float
    said: bytes = b""


@dataclass
class ControlServer:
    """Hears the users in `heard`; to the others it only hangs up."""

    listening: socket.socket
    heard: Container[int]
    answer: Answer
    _silent: list[_Client] = field(default_factory=list)
    _answered: list[_Client] = field(default_factory=list)
    _unanswered: list[tuple[_Client, dict[str, Any]]] = field(default_factory=list)  # for want of a thread
    _looked: float = field(default_factory=time.monotonic)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def serve(self) -> None:
        """For as long as the process lives."""
        self._selector.register(self.listening, selectors.EVENT_READ)
        while True:
            self._looked = time.monotonic()
            try:
                self._turn()
            except Exception:
                log.exception()
                time.sleep(_RESPITE)

    @property
    def silence(self) -> float:
        """Seconds since it last listened."""
        return time.monotonic() - self._looked

    def _turn(self) -> None:
        for key, _ in self._selector.select(timeout=_RESPITE if self._unanswered else _IDLE):
            if key.data is None:
                self._accept()
            else:
                self._hear(key.data)
        waiting, self._unanswered = self._unanswered, []
        for client, request in waiting:
            self._answer(client, request)
        for client in [client for client in self._silent if client.deadline < time.monotonic()]:
            self._hang_up(client)

    def _accept(self) -> None:
        try:
            connection, _ = self.listening.accept()
        except OSError:  # it is gone already, or there are no descriptors: the oldest give theirs
            for client in self._silent[:_AT_ONCE]:
                self._hang_up(client)
            time.sleep(_MOMENT)
            return
        try:
            user = _peer(connection)
            connection.setblocking(False)
        except OSError:
            connection.close()
            return
        if user not in self.heard:
            connection.close()
            return
        client = _Client(connection, user, time.monotonic() + _PATIENCE)
        if oldest := _surplus(self._silent, user):
            self._hang_up(oldest)
        self._silent.append(client)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _hear(self, client: _Client) -> None:
        """Take what it said; once that is a line, answer it in a thread of its own."""
        try:
            piece = client.connection.recv(MAX_REQUEST - len(client.said))
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        client.said += piece
        if client.said.endswith(b"\n"):
            self._begin(client)
        elif not piece or len(client.said) >= MAX_REQUEST:
            self._hang_up(client)

    def _begin(self, client: _Client) -> None:
        self._forget(client)
        request = _parsed(client.said)
        if request is None:
            client.connection.close()
            return
        if oldest := _surplus(self._answered, client.user):
            with suppress(OSError):
                oldest.connection.shutdown(socket.SHUT_RDWR)  # its thread closes it
        self._answered.append(client)
        client.deadline = time.monotonic() + _PATIENCE
        self._answer(client, request)

    def _answer(self, client: _Client, request: dict[str, Any]) -> None:
        """Answer in a thread of its own, or later where none can be started now."""
        try:
            threading.Thread(target=self._converse, args=(client, request), daemon=True).start()
        except (RuntimeError, MemoryError):
            if time.monotonic() < client.deadline:
                self._unanswered.append((client, request))
            else:
                self._answered.remove(client)
                client.connection.close()

    def _converse(self, client: _Client, request: dict[str, Any]) -> None:
        try:
            with client.connection:
                client.connection.settimeout(_PATIENCE)
                self.answer(client.connection, request, client.user)
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            pass  # it is gone, or asked for what makes no sense
        except Exception:
            log.exception()
        finally:
            self._answered.remove(client)

    def _hang_up(self, client: _Client) -> None:
        self._forget(client)
        client.connection.close()

    def _forget(self, client: _Client) -> None:
        self._silent.remove(client)
        self._selector.unregister(client.connection)


def listen(path: Path, *, open_to_all: bool) -> socket.socket:
    """The socket; where the job's user must reach it, everybody may try, and `heard` says who succeeds."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with at(path) as address:
        server.bind(address)
    set_mode(path, 0o777 if open_to_all else 0o700)
    server.listen(_BACKLOG)
    server.setblocking(False)
    return server


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _surplus(clients: list[_Client], user: int) -> _Client | None:
    """The oldest of this user's clients, where there are too many of them."""
    theirs = [client for client in clients if client.user == user]
    return theirs[0] if len(theirs) >= _AT_ONCE else None


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return request if isinstance(request, dict) else None


def _peer(connection: socket.socket) -> int:
    """The number of the user who connected."""
    if not hasattr(socket, "SO_PEERCRED"):  # not Linux: the directory's permissions keep others away
        return os.geteuid()
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)
