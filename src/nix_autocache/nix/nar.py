"""Reads a store path from disk as a NAR, the archive format that Nix hashes.

`nix-store --dump` gives the same bytes, but slower, through a pipe. The result is not trusted: the caller compares its
hash with the one in Nix's database.
Format: Eelco Dolstra's thesis, figure 5.2; Nix manual, "Nix Archive (NAR) format".
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from ..errors import CacheBusy, StoreError, one_line

PIECE: Final = 1 << 18  # bytes
FOR_NOW: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR})
"""Errors of a machine that lacks memory or file descriptors at the moment. The path is not at fault."""


def _string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text + bytes(-len(text) % 8)


def _strings(*texts: bytes) -> bytes:
    return b"".join(map(_string, texts))


_MAGIC: Final = _string(b"nix-archive-1")
_REGULAR: Final = _strings(b"(", b"type", b"regular")
_EXECUTABLE: Final = _strings(b"executable", b"")
_CONTENTS: Final = _string(b"contents")
_SYMLINK: Final = _strings(b"(", b"type", b"symlink", b"target")
_DIRECTORY: Final = _strings(b"(", b"type", b"directory")
_ENTRY: Final = _strings(b"entry", b"(", b"name")
_NODE: Final = _string(b"node")
_CLOSE: Final = _string(b")")
_CASE_HACK: Final = b"~nix~case~hack~"  # Nix on macOS adds it to names that differ only in case


def archive(path: str, size: int = PIECE) -> Iterator[bytes]:
    """The NAR of a path in pieces. All but the last have at least `size` bytes, and less than twice as many.

    Raises StoreError if a file is gone or cannot be read, CacheBusy if it may be readable later.
    """
    try:
        yield from _joined(_nodes(os.fsencode(path), size), size)
    except OSError as error:
        if error.errno in FOR_NOW:
            raise CacheBusy(f"{path} cannot be read now: {error.strerror}") from error
        raise StoreError(f"{path} cannot be read: {error.strerror or one_line(error)}") from error


def _joined(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Join small parts: hashing and compressing have a cost for each piece."""
    pending = [_MAGIC]
    there = 0
    for part in parts:
        pending.append(part)
        there += len(part)
        if there >= size:
            yield b"".join(pending)
            pending, there = [], 0
    yield b"".join(pending)


def _nodes(path: bytes, size: int) -> Iterator[bytes]:
    """A file, or a directory with its contents. Not recursive: a tree may be deeper than Python's stack."""
    open_directories: list[Iterator[tuple[bytes, bytes]]] = []
    yield from _beginning(path, size, open_directories)
    while open_directories:
        entry = next(open_directories[-1], None)
        if entry is None:
            open_directories.pop()
            yield _CLOSE
            if open_directories:  # close the entry of that directory, too
                yield _CLOSE
            continue
        name, path = entry
        yield _ENTRY + _string(name) + _NODE
        depth = len(open_directories)
        yield from _beginning(path, size, open_directories)
        if len(open_directories) == depth:
            yield _CLOSE


def _beginning(path: bytes, size: int, open_directories: list[Iterator[tuple[bytes, bytes]]]) -> Iterator[bytes]:
    """All of a file or link, or the beginning of a directory, whose entries are added to `open_directories`."""
    status = os.lstat(path)
    if stat.S_ISREG(status.st_mode):
        yield _REGULAR + (_EXECUTABLE if status.st_mode & stat.S_IXUSR else b"") + _CONTENTS
        yield from _contents(path, size)
        yield _CLOSE
    elif stat.S_ISDIR(status.st_mode):
        yield _DIRECTORY
        open_directories.append(iter(_entries(path)))
    elif stat.S_ISLNK(status.st_mode):
        yield _SYMLINK + _string(os.readlink(path)) + _CLOSE
    else:
        raise StoreError(f"{os.fsdecode(path)} is no file, directory or symbolic link")


def _entries(directory: bytes) -> list[tuple[bytes, bytes]]:
    """Names in the archive, in its order, with the paths to read."""
    names = os.listdir(directory)
    strip = sys.platform == "darwin"
    return sorted((n.partition(_CASE_HACK)[0] if strip else n, directory + b"/" + n) for n in names)


def _contents(path: bytes, most: int) -> Iterator[bytes]:
    # The file may have been replaced meanwhile: do not follow a link, and do not wait for a pipe.
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(f"{os.fsdecode(path)} changed while it was read")
        size = status.st_size
        yield struct.pack("<Q", size)
        left = size
        while left:
            piece = file.read(min(most, left))
            if not piece:
                raise StoreError(f"{os.fsdecode(path)} became shorter while it was read")
            left -= len(piece)
            yield piece
    yield bytes(-size % 8)
