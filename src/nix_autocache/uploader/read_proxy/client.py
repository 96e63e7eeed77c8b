"""One connection to the read proxy, and the requests that arrive on it."""

from __future__ import annotations

import re
import select
import socket
from typing import Final

from ...system.dataclass import dataclass

_HEAD: Final = 64 << 10  # bytes of a request
_FOLLOWING: Final = 20  # milliseconds
_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Request:
    """`keep` is true if the connection is to stay open. The method is empty if it is no request of HTTP."""

    method: str
    path: str
    keep: bool


class Client:
    """`busy` while another thread answers it, `muted` while it is not listened to, `ended` if it is to be closed."""

    def __init__(self, connection: socket.socket, user: int) -> None:
        self.connection = connection
        self.user = user
        self.busy = self.muted = self.ended = False
        self._received = b""

    def read(self) -> bool:
        """Take what has arrived; False at the end, or if it sends too much."""
        try:
            piece = self.connection.recv(_HEAD)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._received += piece
        return bool(piece) and len(self._received) <= _HEAD

    @property
    def has_more(self) -> bool:
        """True if something has arrived that belongs to no request yet."""
        return bool(self._received)

    def next_request(self) -> Request | None:
        """The next request, once all of it is here."""
        if not self._received or not (end := _END.search(self._received)):
            return None
        head, self._received = self._received[: end.start()], self._received[end.end() :]
        return _parse(head)

    def following(self) -> Request | None:
        """The next request, if it is sent at once. For the thread that answered the last one: as a rule Nix asks for
        more of what takes a thread, and to change threads for each costs more than an answer."""
        if not self._received:
            poll = select.poll()
            poll.register(self.connection, select.POLLIN)
            if not poll.poll(_FOLLOWING) or not self.read():
                return None
        return self.next_request()


def _parse(head: bytes) -> Request:
    """Source: RFC 9112. A body, which no GET of Nix has, would be taken for the next request."""
    first, *lines = head.split(b"\n")
    words = first.decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return Request("", "", keep=False)
    keep = words[2] == "HTTP/1.1"
    for line in lines:
        name, _, value = line.lower().partition(b":")
        if name == b"connection":
            keep = value.strip() != b"close" and (keep or value.strip() == b"keep-alive")
    return Request(words[0], words[1], keep)
