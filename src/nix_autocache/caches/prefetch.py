"""Makes the pieces of an iterator in another thread while earlier pieces are used: packing while sending.

For bodies that the iterating thread sends itself. obstore sends in threads of its own and does not need this.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def prefetch(pieces: Iterable[bytes], limit: int) -> Iterator[Iterator[bytes]]:
    """The same pieces, of which about `limit` bytes may wait. Exceptions of `pieces` are raised to the caller.

    After the block nothing iterates over `pieces` any more.
    """
    buffer = _Buffer(limit)
    thread = threading.Thread(target=buffer.fill, args=(pieces,), name="ahead", daemon=True)
    thread.start()
    try:
        yield iter(buffer)
    finally:
        buffer.abandon()
        thread.join()


class _Buffer:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._pieces: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._ended = self._abandoned = False
        self._error: BaseException | None = None

    def fill(self, pieces: Iterable[bytes]) -> None:
        try:
            for piece in pieces:
                if not self._put(piece):
                    return
        except BaseException as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abandon(self) -> None:
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._ended)
                taken = b"".join(self._pieces)
                self._pieces.clear()
                self._size = 0
                self._changed.notify_all()
            if taken:
                yield taken
            elif self._error:
                raise self._error
            elif self._ended:
                return

    def _put(self, piece: bytes) -> bool:
        """True if the reader wants more."""
        with self._changed:
            self._changed.wait_for(lambda: self._size < self._limit or self._abandoned)
            self._pieces.append(piece)
            self._size += len(piece)
            self._changed.notify_all()
            return not self._abandoned
