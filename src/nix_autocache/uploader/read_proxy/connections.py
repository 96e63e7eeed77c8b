"""The open connections of the read proxy, so that no user of this machine can use it up.

Each user gets a number of connections and some seconds for each request. When there are too many, the connection that
has been idle for longest is closed, of that user or of the user with most.
"""

from __future__ import annotations

import resource
import socket
import threading
import time
from contextlib import suppress
from typing import Final

from ...system.dataclass import dataclass
from .spool import FILES

PER_USER: Final = 512  # connections; a daemon opens 128 for a build
_DESCRIPTORS: Final = 8192  # that we want
_OTHERS: Final = 192 + FILES  # descriptors for the cache's connections, files and the like
_ROOM: Final = 16  # connections to close when there are no descriptors
_FIRST_REQUEST: Final = 5.0  # seconds for the first request on a connection
_IDLE: Final = 60.0  # seconds between two requests on a connection


@dataclass(eq=False)
class _Connection:
    """`deadline` is when its request must have arrived, None while it is answered."""

    socket: socket.socket
    user: int
    deadline: float | None


class Connections:
    """May be used from any thread."""

    def __init__(self) -> None:
        self._open: dict[socket.socket, _Connection] = {}
        self._lock = threading.Lock()
        self._limit = _raise_descriptor_limit() - _OTHERS

    def admit(self, connection: socket.socket, user: int) -> bool:
        """Add a connection, after closing another if there are too many. False if none of those is idle."""
        users = self._users()
        if len(users) >= self._limit:
            if not self._close_idlest(max(set(users), key=users.count)):
                return False
        elif users.count(user) >= min(PER_USER, self._limit) and not self._close_idlest(user):
            return False
        with self._lock:
            self._open[connection] = _Connection(connection, user, time.monotonic() + _FIRST_REQUEST)
        return True

    def user(self, connection: socket.socket) -> int | None:
        """None if the connection was closed here."""
        found = self._open.get(connection)
        return found.user if found else None

    def mark(self, connection: socket.socket, *, answered: bool) -> None:
        """Note that a request has arrived, or was answered."""
        with self._lock:
            if found := self._open.get(connection):
                found.deadline = time.monotonic() + _IDLE if answered else None

    def remove(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)

    def close_expired(self) -> None:
        with self._lock:
            now = time.monotonic()
            for each in [each for each in self._open.values() if each.deadline is not None and each.deadline < now]:
                self._close(each)

    def make_room(self) -> None:
        """Close some connections of the user with most: there are no descriptors left."""
        users = self._users()
        for _ in range(_ROOM if users else 0):
            self._close_idlest(max(set(users), key=users.count))

    def _users(self) -> list[int]:
        with self._lock:
            return [each.user for each in self._open.values()]

    def _close_idlest(self, user: int) -> bool:
        """Close the connection of this user that has been idle for longest. False if none is idle."""
        with self._lock:
            idle = [each for each in self._open.values() if each.user == user and each.deadline is not None]
            if idle:
                self._close(min(idle, key=lambda each: each.deadline or 0.0))
            return bool(idle)

    def _close(self, connection: _Connection) -> None:
        """Shut it down; its thread reads the end and closes it. The caller holds the lock."""
        del self._open[connection.socket]
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_RDWR)


def _raise_descriptor_limit() -> int:
    """Allow this process as many descriptors as we want, or as it may have; returns their number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, _DESCRIPTORS)
