"""The answers of the read proxy to requests: an object that is here at once, any other from a thread that may wait."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeVar
from urllib.parse import unquote

from ...caches.protocol import Content
from ...errors import one_line
from ...system.dataclass import replace
from .client import Request

T = TypeVar("T")

_STALLED: Final = 60.0  # seconds in which the client takes nothing of an answer
_TOGETHER: Final = 64 << 10  # bytes that are sent with the head
_OK: Final = "200 OK"
_MISSING: Final = "404 Not Found"


class Objects(Protocol):
    """The objects to serve; None and False for those that are missing."""

    def open_now(self, name: str) -> Content | None:
        """The object if it is here whole. None says nothing. Never waits."""

    @property
    def together(self) -> int:
        """How many narinfos to name to `open_soon`; if it is 1, none."""

    def open_soon(self, names: Sequence[str]) -> None:
        """Get narinfos ready for `open`, all together."""

    def open(self, name: str) -> Content | None: ...

    def exists(self, name: str) -> bool: ...


class Answers:
    """`prefix` is the beginning of each path; `log_error` gets one line for an error."""

    def __init__(self, objects: Objects, prefix: str, log_error: Callable[[str], None]) -> None:
        self._objects = objects
        self._prefix = prefix
        self._log_error = log_error

    def now(self, request: Request) -> bytes | None:
        """The whole answer; None if another thread has to give it."""
        if request.method != "GET":
            return None
        content = self._found(request.path, self._objects.open_now)
        return None if content is None else _head(_OK, request, content.size) + b"".join(content.pieces)

    def later(self, connection: socket.socket, request: Request) -> bool:
        """Send the answer, however long it takes. True if the connection can be used again."""
        match request.method:
            case "GET":
                return self._get(connection, request)
            case "HEAD":
                exists = self._found(request.path, self._objects.exists)
                head = _head(_OK if exists else _MISSING, request, None if exists else 0)
            case method:
                request = replace(request, keep=False)
                head = _head("501 Not Implemented" if method else "400 Bad Request", request, 0)
        return self.finish(connection, head, request)

    def is_for_narinfo(self, request: Request) -> bool:
        return request.method == "GET" and request.path.endswith(".narinfo") and request.path.startswith(self._prefix)

    @property
    def together(self) -> int:
        """How many requests for narinfos one thread best answers."""
        return self._objects.together

    def soon(self, requests: Iterable[Request]) -> None:
        """Get ready to answer requests for narinfos, all together."""
        with suppress(Exception):  # each is asked for again, and then says what it is
            self._objects.open_soon([request.path.removeprefix(self._prefix) for request in requests])

    def finish(self, connection: socket.socket, answer: bytes | memoryview, request: Request) -> bool:
        """Send the rest of an answer. True if the connection can be used again."""
        try:
            _send_all(connection, answer)
        except OSError:
            return False
        return request.keep

    def _get(self, connection: socket.socket, request: Request) -> bool:
        content = self._found(request.path, self._objects.open)
        if content is None:
            return self.finish(connection, _head(_MISSING, request, 0), request)
        chunked = content.size is None
        waiting = _head(_OK, request, content.size, chunked=chunked)  # so that a narinfo and its head are one packet
        size = 0
        try:
            for piece in filter(None, content.pieces):
                size += len(piece)
                part = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
                if len(waiting) + len(part) <= _TOGETHER:
                    waiting += part
                    continue
                _send_all(connection, waiting)
                _send_all(connection, part)
                waiting = b""
            _send_all(connection, waiting + b"0\r\n\r\n" if chunked else waiting)
        except Exception as error:
            self._log_error(f"{request.path[:200]!r}: {one_line(error)}")
            return False  # too late for another status
        finally:
            content.close()
        return request.keep and content.size in {None, size}  # who was promised more would wait for it

    def _found(self, path: str, ask: Callable[[str], T]) -> T | None:
        """The result of `ask` for the object at the path; None after any error, and for a path of another job."""
        if not path.startswith(self._prefix):
            return None
        try:
            return ask(unquote(path.removeprefix(self._prefix)))  # Nix 2.34 encodes the ! of a realisation
        except Exception as error:
            self._log_error(f"{path[:200]!r}: {one_line(error)}")
            return None


def send(connection: socket.socket, answer: bytes) -> memoryview | None:
    """Send what the connection takes now; the rest, and None if the client has gone."""
    try:
        sent = connection.send(answer)
    except BlockingIOError:
        sent = 0
    except OSError:
        return None
    return memoryview(answer)[sent:]


def _send_all(connection: socket.socket, answer: bytes | memoryview) -> None:
    """Raises OSError if the client takes nothing for a minute, or has gone."""
    rest = memoryview(answer)
    while rest:
        try:
            rest = rest[connection.send(rest) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(connection, select.POLLOUT)
            if not poll.poll(_STALLED * 1000):
                raise TimeoutError("the client takes nothing") from None


def _head(status: str, request: Request, size: int | None, *, chunked: bool = False) -> bytes:
    """Content of unknown size is sent in chunks."""
    length = "" if size is None else f"Content-Length: {size}\r\n"
    coding = "Transfer-Encoding: chunked\r\n" if chunked else ""
    end = "" if request.keep else "Connection: close\r\n"
    return f"HTTP/1.1 {status}\r\n{length}{coding}{end}\r\n".encode()
