"""Locks that are files: the kernel releases them when their process ends, however it ends.

`locked` is for work that one process does at a time. `alive` and `text_of_holder` are for a process that others look
for: it holds the lock as long as it lives, and writes there what they need.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from .files import open_file, open_to_append
from .process import wait_until

_LOOK: Final = 0.5  # seconds: `text_of_holder` holds the lock for a moment, too
_POLL: Final = 0.005  # seconds
_LOW: Final = 10  # a process that hands descriptors on has them below this number


@contextmanager
def locked(path: Path, seconds: float | None = None) -> Iterator[bool]:
    """Hold the lock `path`. Yields False if another process has it for more than `seconds`; None waits for ever.

    Also yields False if the file was removed meanwhile: such a lock keeps nobody else waiting. Raises OSError.
    """
    # Whoever can read a file can lock it, so only its owner can read this one.
    with open_to_append(path, 0o600) as file:
        if seconds is None:
            fcntl.flock(file, fcntl.LOCK_EX)
        elif not wait_until(lambda: _try_lock(file.fileno(), fcntl.LOCK_EX), seconds):
            yield False
            return
        yield _is_at(file.fileno(), path)


@contextmanager
def alive(path: Path) -> Iterator[IO[str] | None]:
    """Hold the lock that says that this process lives. Yields its file, or None if another process has it."""
    first = open_file(path, os.O_RDWR, 0o600)
    descriptor = fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, _LOW)
    os.close(first)
    with open(descriptor, "r+") as file:
        if not wait_until(lambda: _try_lock(descriptor, fcntl.LOCK_EX), _LOOK, _POLL):
            yield None
            return
        file.truncate()
        yield file


def text_of_holder(path: Path) -> str:
    """The text in the lock of the process that is `alive`; empty if there is none."""
    with suppress(OSError), open(path, encoding="utf-8") as file:
        if not _try_lock(file.fileno(), fcntl.LOCK_SH):
            return file.read()
    return ""


def _is_at(descriptor: int, path: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
