"""The connections to one HTTP server, kept open: a put costs one round trip, and many requests together cost one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Final, TypeVar

from .http1 import Connection, Response
from .origin import Origin

T = TypeVar("T")
K = TypeVar("K")

_IDLE: Final = 30.0  # seconds that an idle connection is kept; servers close them after about a minute
_MOST: Final = 16  # requests to send together
_FIRST: Final = 2  # so many while it is not known how long the server thinks
_THINKS: Final = 0.003  # seconds between two responses, from which more connections are faster
_KNOWN: Final = 60.0  # seconds after which it is found out again
_DOUBTED: Final = 1.0  # the same for a server that seems to think


class Pool:
    """Each connection is used by one thread at a time, and then kept for the next."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._idle: deque[tuple[float, Callable[[], Connection]]] = deque()
        self._together = _FIRST
        self._paced_until = float("-inf")

    def open_early(self, count: int) -> None:
        """Open connections in the background, so that the first requests need not wait for them."""
        with suppress(RuntimeError):  # this machine starts no further thread at the moment
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

    @property
    def together(self) -> int:
        """How many requests to send together: a server that thinks takes those of a connection in turn."""
        if time.monotonic() > self._paced_until:
            return _FIRST
        return self._together

    def ask_together(
        self, requests: Mapping[K, bytes], timeout: float, *, content: bool = True
    ) -> Mapping[K, Response]:
        """Send requests together; the responses come in order (RFC 9112, 9.3.2: for safe methods only).

        Those to HEAD have no `content`. The last ones may be missing. Raises OSError if there is none.
        """
        responses: dict[K, Response] = {}
        arrived: list[float] = []
        sent = b"".join(requests.values())

        def ask(connection: Connection) -> None:
            connection.send(sent, timeout)
            for each in requests:
                try:
                    responses[each] = connection.response(content=content)
                except OSError:
                    connection.reusable = False
                    if not responses:
                        raise
                arrived.append(time.monotonic())
                if not connection.reusable:
                    break

        self.use(ask)
        if len(arrived) > 1:
            self._find_pace([later - earlier for earlier, later in pairwise(arrived)])
        return responses

    def _find_pace(self, pauses: Sequence[float]) -> None:
        """Their median counts, and a slow one for a moment only: this machine, too, may have been busy."""
        thinks = sorted(pauses)[len(pauses) // 2] > _THINKS
        self._together = 1 if thinks else _MOST
        self._paced_until = time.monotonic() + (_DOUBTED if thinks else _KNOWN)

    def begin_response(self, request: bytes, timeout: float) -> tuple[Connection, Response]:
        """The response to a request without its content, and the connection to read that from.

        Read it with `content`, or close the connection. Raises OSError.
        """
        if kept := self._take(0):
            try:
                return _ask(kept(), request, timeout)
            except TimeoutError:
                raise
            except OSError:
                pass
        return _ask(self.origin.connect(), request, timeout)

    def content(self, connection: Connection, response: Response) -> Iterator[bytes]:
        """The content of a response that was begun, piece by piece. The connection is kept if it is read to its end."""
        ended = False
        try:
            yield from connection.content(response)
            ended = True
        finally:
            self.give_back(connection, ended=ended)

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
