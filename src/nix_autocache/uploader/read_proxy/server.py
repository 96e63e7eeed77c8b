"""The HTTP server of the read proxy: GET and HEAD on many connections, of Nix and of anyone else on this machine.

One thread takes all requests, and answers those for what is here whole. The others go to threads that may wait, since
each change of threads costs more than the rest of an answer.

`Connections` limits what one user can take. Errors are one line in the log every 30 seconds, not one per request: any
user could fill the disk.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from ...errors import one_line
from ...system import log
from .answers import Answers, Objects, send
from .client import Client
from .connections import Connections
from .elsewhere import Elsewhere
from .peers import AllowedUsers, user_of

_LOG_INTERVAL: Final = 30.0  # seconds
_INTERVAL: Final = 0.5  # seconds between two looks at the time
_STACK: Final = 256 << 10  # bytes of a thread's stack
_AT_ONCE: Final = 64  # connections to accept before the requests of others


class ReadServer:
    """Serves `objects` to the users in `allowed`, from a socket that listens already, below the path `nonce`."""

    def __init__(self, listening: socket.socket, objects: Objects, allowed: AllowedUsers, nonce: str) -> None:
        self._listening = listening
        self._allowed = allowed
        self._connections = Connections()
        self._answers = Answers(objects, f"/{nonce}/" if nonce else "/", self._log_error)
        self._elsewhere = Elsewhere(self._answers, self._connections, self._close)
        self._selector = selectors.DefaultSelector()
        self._ending = False
        self._logged = float("-inf")
        threading.stack_size(_STACK)
        listening.setblocking(False)

    def serve_forever(self, poll_interval: float = _INTERVAL) -> None:
        """Serve until `shutdown`; idle connections are looked at every `poll_interval` seconds."""
        self._selector.register(self._listening, selectors.EVENT_READ, self._accept)
        self._selector.register(self._elsewhere.woken, selectors.EVENT_READ, self._take_back)
        looked = time.monotonic()
        while not self._ending:
            pause = self._elsewhere.pause
            for key, _ in self._selector.select(poll_interval if pause is None else pause):
                self._handle(key.data)
            self._handle(self._elsewhere.answer_questions)
            if time.monotonic() - looked > poll_interval:
                looked = time.monotonic()
                self._connections.close_expired()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, Client):
                self._close(key.data)
        self._selector.close()

    def _handle(self, what: Client | Callable[[], None]) -> None:
        """Nothing that one client does ends the server."""
        try:
            if isinstance(what, Client):
                self._receive(what)
            else:
                what()
        except Exception as error:
            self._log_error(one_line(error))
            if isinstance(what, Client):
                self._close(what)

    def shutdown(self) -> None:
        """Make `serve_forever` return soon."""
        self._ending = True
        self._elsewhere.wake_up()

    def server_close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._listening.accept()
            except BlockingIOError:  # nobody, or another process was faster
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE}:
                    self._connections.make_room()
                return
            with suppress(OSError):
                self._admit(connection)

    def _admit(self, connection: socket.socket) -> None:
        user = user_of(connection)
        if user is None or not self._connections.admit(connection, user):
            connection.close()
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(connection, user)
        if self._allowed.is_always_allowed(user):
            self._selector.register(connection, selectors.EVENT_READ, client)
        else:  # Nix may have to be asked
            client.muted = True
            self._elsewhere.start(client, lambda: self._allowed.may_read(user))

    def _receive(self, client: Client) -> None:
        """Read what has come, and answer it if it is a whole request."""
        if self._elsewhere.mutes(client):  # it sends more, or has hung up, before it has its answer
            self._selector.unregister(client.connection)
            return
        if client.read():
            self._answer_next(client)
        else:
            self._close(client)

    def _answer_next(self, client: Client) -> None:
        """Answer what is here; the first that is not goes to another thread."""
        while request := client.next_request():
            self._connections.mark(client.connection, answered=False)
            answer = self._answers.now(request)
            if answer is None:
                return self._elsewhere.answer(client, request)
            rest = send(client.connection, answer)
            if rest is None or (not rest and not request.keep):
                return self._close(client)
            if rest:
                return self._elsewhere.start(client, partial(self._answers.finish, client.connection, rest, request))
            self._connections.mark(client.connection, answered=True)
        return None

    def _take_back(self) -> None:
        """Look at the clients that other threads are done with."""
        for client in self._elsewhere.returned():
            if client.ended:
                self._close(client)
                continue
            if client.muted:
                client.muted = False
                self._selector.register(client.connection, selectors.EVENT_READ, client)
            if not client.busy:
                self._answer_next(client)

    def _close(self, client: Client) -> None:
        self._connections.remove(client.connection)
        with suppress(KeyError, ValueError):
            self._selector.unregister(client.connection)
        with suppress(OSError):
            client.connection.shutdown(socket.SHUT_WR)
        client.connection.close()

    def _log_error(self, text: str) -> None:
        if time.monotonic() - self._logged > _LOG_INTERVAL:
            self._logged = time.monotonic()
            log.line(text)
