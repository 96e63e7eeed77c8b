"""Unix sockets at paths of any length, and the user at the other end of one, on Linux and macOS."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .trees import temporary_directory

_LONGEST: Final = 103  # bytes of an address on macOS, without the NUL at its end; Linux takes 107
_SOL_LOCAL: Final = 0  # of macOS, sys/un.h
_LOCAL_PEERCRED: Final = 1
_XUCRED: Final = "2Ih16I"  # struct xucred of sys/ucred.h: version, user, groups
_XUCRED_VERSION: Final = 0
_UCRED: Final = "3i"  # struct ucred, unix(7): process, user, group


@contextmanager
def at(path: Path) -> Iterator[str]:
    """An address for the socket at `path`, which may be longer than an address. To be used in the block."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
    elif sys.platform == "linux":
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{directory}/{path.name}"
        finally:
            os.close(directory)
    else:
        with _linked(path.parent) as link:
            yield f"{link}/{path.name}"


@contextmanager
def _linked(directory: Path) -> Iterator[Path]:
    """A short link to a directory, where no other user can change it. `TMPDIR` of macOS is too long for that."""
    with temporary_directory() as short:
        link = short / "d"
        link.symlink_to(directory)
        yield link


def peer(connection: socket.socket) -> int:
    """The id of the user who made a connection. Raises OSError."""
    if sys.platform == "darwin":
        found = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, struct.calcsize(_XUCRED))
        version, user = struct.unpack_from("=2I", found)
        if version != _XUCRED_VERSION:
            raise OSError(f"version {version} of struct xucred is not known")
    else:
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_UCRED))
        _, user, _ = struct.unpack(_UCRED, found)
    return int(user)
