"""One archive that is being read from the cache, compared with its narinfo before Nix has all of it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from ...caches.protocol import Content
from ...errors import CacheBusy, CacheError
from ...nix import base32
from .hints import Archive
from .spool import SMALL, Room

_PATIENCE: Final = 15.0  # seconds to wait for the first bytes before asking the cache as well
_STALLED: Final = 60.0  # seconds in which nothing arrives
_PIECE: Final = 64 << 10  # bytes; for a large one malloc asks the kernel for memory each time


class State(Enum):
    RUNNING = auto()
    WHOLE = auto()
    WRONG = auto()
    MISSING = auto()
    FAILED = auto()
    LEFT = auto()
    """Nix asked for it before it was begun: passing it on costs half of what fetching it ahead does."""


class Fetch:
    """An archive on its way into `room`, for all who ask for it. `Archives` guards `users` and `dropped`."""

    def __init__(self, archive: Archive, room: Room) -> None:
        self.archive = archive
        self.room = room
        self.state = State.RUNNING
        self.ended = 0.0
        self.users = 0
        self.dropped = False
        self._written = 0
        self._changed = threading.Condition()

    def join(self) -> None:
        """Count one more who reads it."""
        with self._changed:
            self.users += 1
            self._changed.notify_all()

    def is_asked_for(self, timeout: float) -> bool:
        """Wait until somebody reads it, or it is dropped."""
        with self._changed:
            return self._changed.wait_for(lambda: self.users > 0 or self.dropped, timeout)

    def fill(self, content: Content | None) -> State:
        """Read it; returns how that ended. Raises what iterating over the content raises, and OSError."""
        if content is None:
            return State.MISSING
        check = _Check(self.archive)
        try:
            if content.size not in {None, self.archive.size}:
                return State.WRONG
            for piece in content.pieces:
                if self.dropped:
                    return State.FAILED
                check.add(piece)
                if check.is_too_long:
                    return State.WRONG
                self.room.write(piece)
                with self._changed:
                    self._written += len(piece)
                    self._changed.notify_all()
        finally:
            content.close()
        return State.WHOLE if check.is_right else State.WRONG

    def end(self, state: State) -> None:
        with self._changed:
            self.state = state
            self.ended = time.monotonic()
            self._changed.notify_all()

    def wait(self) -> State:
        """The state once it can be served: a small archive when it has ended, a large one when it begins to arrive."""
        with self._changed:
            small = self.archive.size <= SMALL
            ready = self._changed.wait_for(
                lambda: self.state is not State.RUNNING or (self._written > 0 and not small), _PATIENCE
            )
            return self.state if ready else State.FAILED

    def pieces(self) -> Iterator[bytes]:
        """All of it, as it arrives. The last byte is held back until the whole is known to be right."""
        sent = 0
        while sent < self.archive.size:
            piece = self.room.read(sent, min(_PIECE, self._readable(sent) - sent))
            sent += len(piece)
            yield piece

    def _readable(self, sent: int) -> int:
        """How many of its bytes may be sent; more than `sent`."""

        def limit() -> int:
            return self._written if self.state is State.WHOLE else min(self._written, self.archive.size - 1)

        with self._changed:
            self._changed.wait_for(lambda: self.state is not State.RUNNING or limit() > sent, _STALLED)
            if self.state is State.WRONG:
                raise differs(self.archive)
            if limit() <= sent or self.state is State.FAILED:
                raise CacheBusy(f"{self.archive.name} could not be read to its end")
            return limit()


def verified(content: Content | None, archive: Archive | None) -> Content | None:
    """The same content, which is broken off before its last piece if it differs from its narinfo, where that is known.

    Raises CacheError if its size is another one.
    """
    if content is None or archive is None:
        return content
    if content.size not in {None, archive.size}:
        content.close()
        raise differs(archive)
    return Content(archive.size, _verified(content, archive))


def _verified(content: Content, archive: Archive) -> Iterator[bytes]:
    check, held = _Check(archive), b""
    try:
        for piece in filter(None, content.pieces):
            check.add(piece)
            if check.is_too_long:
                break
            yield held
            held = piece
    finally:
        content.close()
    if not check.is_right:
        raise differs(archive)
    yield held


def differs(archive: Archive) -> CacheError:
    return CacheError(f"{archive.name} is not what its narinfo says")


class _Check:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._hash = hashlib.sha256()
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._hash.update(piece)
        self._size += len(piece)

    @property
    def is_too_long(self) -> bool:
        return self._size > self._archive.size

    @property
    def is_right(self) -> bool:
        digest = f"sha256:{base32.encode(self._hash.digest())}"
        return self._size == self._archive.size and digest == self._archive.file_hash
