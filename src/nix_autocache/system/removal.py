"""Directories removed with all that is in them, for trees of which another user may own a part.

Nothing is touched by its path: that user may put a link in the place of a directory while root walks through, and
root would then change what the link names. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from .files import set_mode_of

_MOST_ROUNDS: Final = 100_000  # one for each level of directories
_DIRECTORY: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HANDLE: Final = getattr(os, "O_PATH", os.O_RDONLY)  # it opens what its owner may not read


def remove_tree(path: Path) -> None:
    """Remove a file, or a directory whose parts may be read-only, as those of a store are.

    What cannot be removed stays, and so does what is mounted there.
    """
    with suppress(OSError):
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not _unlinked(path.name, parent):
                with _opened(path.name, parent, mounted=True) as directory:
                    _empty(directory)
                os.rmdir(path.name, dir_fd=parent)
        finally:
            os.close(parent)


def _empty(top: int) -> None:
    """Empty a directory. What is deeper is lifted to its top first, so any depth takes the same few descriptors."""
    prefix = f".{os.urandom(8).hex()}."
    for number in range(_MOST_ROUNDS):
        removed = [_remove(top, name, f"{prefix}{number}.{place}") for place, name in enumerate(os.listdir(top))]
        if not any(removed):
            return


def _remove(top: int, name: str, lifted: str) -> bool:
    """Remove a file, or a directory and the files in it; whether anything went."""
    if _unlinked(name, top):
        return True
    went = [False]
    with suppress(OSError):
        with _opened(name, top) as directory:
            inner = enumerate(os.listdir(directory))
            went += [_take_out(directory, each, top, f"{lifted}.{place}") for place, each in inner]
        os.rmdir(name, dir_fd=top)
        went.append(True)
    return any(went)


def _take_out(directory: int, name: str, top: int, lifted: str) -> bool:
    """Remove a file, or move a directory to the top; whether that was possible."""
    if _unlinked(name, directory):
        return True
    with suppress(OSError), _opened(name, directory):  # only a directory that may be written can be moved
        os.rename(name, lifted, src_dir_fd=directory, dst_dir_fd=top)
        return True
    return False


def _unlinked(name: str, directory: int) -> bool:
    with suppress(OSError):
        os.unlink(name, dir_fd=directory)
        return True
    return False


@contextmanager
def _opened(name: str, parent: int, *, mounted: bool = False) -> Iterator[int]:
    """A directory in another, made ours to change. Raises OSError for a link, and for what is mounted there."""
    handle = os.open(name, _HANDLE | _DIRECTORY, dir_fd=parent)
    try:
        if not mounted and os.fstat(handle).st_dev != os.fstat(parent).st_dev:
            raise OSError(f"{name} is another file system")
        with suppress(OSError):  # root may do without
            owner = (0, 0) if os.geteuid() == 0 else None  # or its user could go on filling it
            set_mode_of(handle, 0o700, owner)
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
    finally:
        os.close(handle)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
