"""The connections to one HTTP server, kept open: a put costs one round trip, and many requests together cost one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from .http1 import Connection, Response
from .origin import Origin

T = TypeVar("T")

_IDLE: Final = 30.0  # seconds that an idle connection is kept; servers close them after about a minute


class Pool:
    """Each connection is used by one thread at a time, and then kept for the next."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._idle: deque[tuple[float, Callable[[], Connection]]] = deque()

    def open_early(self, count: int) -> None:
        """Open connections in the background, so that the first requests need not wait for them."""
        threading.Thread(target=self._dial, args=(count,), name="connect", daemon=True).start()

    def _dial(self, count: int) -> None:
        with suppress(OSError):  # the first request raises it again
            for plain in self.origin.dial(count):
                self._idle.append((time.monotonic(), partial(self.origin.secured, plain)))

    def use(self, do: Callable[[Connection], T], spare: int = 0) -> T:
        """Run `do(connection)`. It runs a second time if a kept connection turns out closed, so it must be idempotent.

        Leaves the last `spare` kept connections to other callers. Raises OSError.
        """
        if kept := self._take(spare):
            try:
                return self._use(kept(), do)
            except TimeoutError:
                raise
            except OSError:
                pass
        return self.use_new(do)

    def use_new(self, do: Callable[[Connection], T]) -> T:
        """Run `do(connection)` once, with a new connection."""
        return self._use(self.origin.connect(), do)

    def begin_response(self, request: bytes, timeout: float) -> tuple[Connection, Response]:
        """The response to a request without its content, and the connection to read that from.

        Pass the connection to `give_back` afterwards. Raises OSError.
        """
        if kept := self._take(0):
            try:
                return _ask(kept(), request, timeout)
            except TimeoutError:
                raise
            except OSError:
                pass
        return _ask(self.origin.connect(), request, timeout)

    def give_back(self, connection: Connection, *, ended: bool) -> None:
        """Keep a connection if its response was read to the end, else close it."""
        if ended and connection.reusable:
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
        """The connection that was used last, unless the server may have closed it by now."""
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
        return connection, connection.begin_response()
    except BaseException:
        connection.close()
        raise
