"""The connections to one HTTP server, kept: a put costs one round trip, and many questions together cost one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from .http1 import Connection, Origin, Response

T = TypeVar("T")

_IDLE: Final = 30.0  # seconds that a connection is kept without a request; servers close them after a minute or so


class Pool:
    """Each connection is used by one thread at a time, and kept for the next."""

    def __init__(self, server: Origin) -> None:
        self.server = server
        self._idle: deque[tuple[float, Callable[[], Connection]]] = deque()

    def begin(self, count: int) -> None:
        """Open some in the background: what is asked first then need not wait for them."""
        threading.Thread(target=self._begin, args=(count,), name="connect", daemon=True).start()

    def _begin(self, count: int) -> None:
        with suppress(OSError):  # who asks will hear of it
            for plain in self.server.dial(count):
                self._idle.append((time.monotonic(), partial(self.server.secured, plain)))

    def use(self, do: Callable[[Connection], T], spare: int = 0) -> T:
        """What `do` gives of a connection. It is done again if the server had closed one that was kept, so it must not
        matter whether it is done twice. The last `spare` that are kept are left for others. Raises OSError."""
        if kept := self._take(spare):
            try:
                return self._use(kept(), do)
            except TimeoutError:
                raise
            except OSError:
                pass
        return self.use_new(do)

    def use_new(self, do: Callable[[Connection], T]) -> T:
        """The same with a new connection, once."""
        return self._use(self.server.connect(), do)

    def begin_answer(self, request: bytes, timeout: float) -> tuple[Connection, Response]:
        """The answer to a request without its content, and the connection where to read that, to be given back.

        Raises OSError.
        """
        if kept := self._take(0):
            try:
                return _ask(kept(), request, timeout)
            except TimeoutError:
                raise
            except OSError:
                pass
        return _ask(self.server.connect(), request, timeout)

    def give_back(self, connection: Connection, *, ended: bool) -> None:
        """Keep a connection whose answer was read to its end, or else close it."""
        if ended and connection.kept:
            self._idle.append((time.monotonic(), lambda: connection))
        else:
            connection.close()

    def _use(self, connection: Connection, do: Callable[[Connection], T]) -> T:
        try:
            result = do(connection)
        except BaseException:
            connection.close()
            raise
        self.give_back(connection, ended=True)
        return result

    def _take(self, spare: int) -> Callable[[], Connection] | None:
        """The one that was used last."""
        if len(self._idle) <= spare:
            return None
        with suppress(IndexError):  # another thread was faster
            since, kept = self._idle.pop()
            if time.monotonic() - since < _IDLE:
                return kept
            self._idle.clear()  # the others are older
        return None


def _ask(connection: Connection, request: bytes, timeout: float) -> tuple[Connection, Response]:
    try:
        connection.send(request, timeout)
        return connection, connection.begin_answer()
    except BaseException:
        connection.close()
        raise
