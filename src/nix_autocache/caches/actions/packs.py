"""Uploads to the Actions cache, in blocks that go up in the background while the job builds.

A pack is an entry that grows: archives are appended until it is sealed. Requests are tried again here, under a gate for
each method: GitHub limits reservations, and that must hold up nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Final, TypeAlias, TypeVar

from ...errors import CacheBusy, CacheError, ReadOnly
from ...system import threads
from ..protocol import Body
from ..retry import LONGEST, Gate, retrying
from .service import BLOCK, ActionsService, Upload

T = TypeVar("T")
Refusal: TypeAlias = CacheBusy | CacheError

_IN_MEMORY: Final = 4  # blocks that are being sent
_KEYS: Final = 5  # keys that are tried


class Sender:
    """Reserves entries, and sends their blocks: at most four at a time, further ones wait. Used from many threads."""

    def __init__(self, service: ActionsService, longest: float = LONGEST) -> None:
        self._service, self._longest = service, longest
        self._free = threading.Semaphore(_IN_MEMORY)
        self._never = threading.Event()
        self._read_only: ReadOnly | None = None
        self._reserving, self._sending, self._finishing = Gate(), Gate(), Gate()

    def pack(self, new_key: Callable[[], str], longest: float | None = None) -> Pack:
        """A new entry, for which it is asked for at most so many seconds. Raises ReadOnly, CacheError and CacheBusy."""
        for _ in range(_KEYS):
            if pack := self.pack_named(new_key(), longest):
                return pack
        raise CacheError("the Actions cache says of new keys that they are taken")

    def pack_named(self, key: str, longest: float | None = None) -> Pack | None:
        """The entry of this key; None if it is taken. Raises as `pack`: ReadOnly again without a request."""
        if self._read_only:
            raise self._read_only
        try:
            upload = self._retried(lambda: self._service.reserve(key), self._reserving, longest)
        except ReadOnly as error:
            self._read_only = error
            raise
        return Pack(key, upload, self) if upload else None

    def send(self, upload: Upload, offset: int, block: bytes, ended: Callable[[Refusal | None], None]) -> None:
        """Send a block in the background, as soon as there is room for it; `ended` gets the error."""
        self._free.acquire()
        threads.start(partial(self._send, upload, offset, block, ended), "block")

    def finish(self, upload: Upload, size: int) -> None:
        self._retried(lambda: upload.finish(size), self._finishing)

    def _send(self, upload: Upload, offset: int, block: bytes, ended: Callable[[Refusal | None], None]) -> None:
        error: Refusal | None = CacheError("a block was not sent for an unexpected reason")
        try:
            self._retried(lambda: upload.put(offset, block), self._sending)
            error = None
        except (CacheBusy, CacheError) as refused:
            error = refused
        finally:
            self._free.release()
            ended(error)

    def _retried(self, attempt: Callable[[], T], gate: Gate, longest: float | None = None) -> T:
        return retrying(attempt, self._never, longest=self._longest if longest is None else longest, gate=gate)


class Pack:
    """An entry that is being written, by one thread at a time. Once an error was raised, nothing can be added."""

    def __init__(self, key: str, upload: Upload, sender: Sender) -> None:
        self.key = key
        self.size = 0
        self.error: Refusal | None = None
        self._upload, self._sender = upload, sender
        self._block = bytearray()
        self._sending = 0
        self._changed = threading.Condition()

    def append(self, piece: bytes) -> None:
        """Raises CacheError, or CacheBusy, if an earlier block could not be sent."""
        self._block += piece
        self.size += len(piece)
        while len(self._block) >= BLOCK:
            with memoryview(self._block) as whole:  # a slice of the array itself would be one more copy
                block = bytes(whole[:BLOCK])
            del self._block[:BLOCK]
            self._send(block, self.size - len(self._block) - BLOCK)
        if self.error:
            raise self.error

    def finish(self, end: bytes = b"") -> None:
        """Append the end, and make the entry visible. Raises as `append`."""
        self.append(end)
        if self._block:
            self._send(bytes(self._block), self.size - len(self._block))
            self._block.clear()
        with self._changed:
            self._changed.wait_for(lambda: not self._sending)
        if self.error:
            raise self.error
        self._sender.finish(self._upload, self.size)

    def _send(self, block: bytes, offset: int) -> None:
        with self._changed:
            self._sending += 1
        self._sender.send(self._upload, offset, block, self._ended)

    def _ended(self, error: Refusal | None) -> None:
        with self._changed:
            self.error = self.error or error
            self._sending -= 1
            self._changed.notify_all()


def begun(body: Body) -> Iterator[bytes]:
    """The pieces. Those of the first block are made now: archives are compressed side by side, appended one by one."""
    if isinstance(body, bytes):
        return iter([body])
    pieces = iter(body)
    first: list[bytes] = []
    size = 0
    for piece in pieces:
        first.append(piece)
        size += len(piece)
        if size >= BLOCK:
            break
    return chain(first, pieces)
