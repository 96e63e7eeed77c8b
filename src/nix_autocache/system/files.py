"""Files and directories made with an explicit mode, whatever the umask is, and files replaced in one step.

Everything that we make is made here. GitLab's Docker executor has umask 0000 and hardened images have 0077: neither may
decide who reads or writes our files.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from . import links

UMASK: Final = 0o022
"""The umask of our own processes, for files that libraries and other programs make for us."""
Owner: TypeAlias = tuple[int, int]
"""Numbers of a user and a group."""
_HANDLE: Final = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK)  # opens also sockets, and what we may not read


def make_directory(path: Path, mode: int, owner: Owner | None = None) -> bool:
    """Make a directory, and missing ones above it with mode 0755. True if it was made now.

    An existing directory keeps its mode and owner. Raises OSError, also if something else has this name.
    """
    if path.is_dir():
        return False
    if not path.parent.is_dir():
        make_directory(path.parent, 0o755, owner)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if path.is_dir():  # another process made it
            return False
        raise
    set_mode(path, mode, owner)
    return True


def set_mode(path: Path, mode: int, owner: Owner | None = None) -> None:
    """Set mode and owner of a file, directory or socket of ours. Raises OSError, also for a link."""
    if sys.platform == "darwin":  # which opens no socket, but can leave links alone
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        if owner is not None:
            os.chown(path, *owner, follow_symlinks=False)
        os.chmod(path, mode, follow_symlinks=False)
        return
    descriptor = os.open(path, _HANDLE | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _refuse_link(descriptor, path)
        set_mode_of(descriptor, mode, owner)
    except OSError as error:
        error.filename = str(path)  # the descriptor's name says nothing
        raise
    finally:
        os.close(descriptor)


def set_mode_of(handle: int, mode: int, owner: Owner | None = None) -> None:
    """Set mode and owner of an open file, or of a handle of `handle_of`. Raises OSError."""
    same = f"/proc/self/fd/{handle}" if sys.platform == "linux" else handle
    if owner is not None:
        os.chown(same, *owner)  # first: chown clears set-user-id bits
    os.chmod(same, mode)


@contextmanager
def handle_of(path: Path) -> Iterator[int]:
    """A handle of the file at an absolute path, reached without following any link, which others could redirect.

    It can neither be read nor written, so that opening a device or a pipe has no effect. Raises OSError.
    """
    descriptor = os.open("/", _HANDLE | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in path.parts[1:]:
            inner = os.open(part, _HANDLE | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
            _refuse_link(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_link(descriptor: int, path: Path) -> None:
    if stat.S_ISLNK(os.fstat(descriptor).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def close_to_others(path: Path) -> None:
    """Take the write permission of others from a file or directory of ours. An earlier umask may have set it."""
    status = path.lstat()
    if status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o022:
        set_mode(path, stat.S_IMODE(status.st_mode) & ~0o022)


def open_file(path: Path, flags: int, mode: int, owner: Owner | None = None) -> int:
    """A descriptor of a file, which is made with this mode if it is missing. Raises OSError, also for a link."""
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            with suppress(FileNotFoundError):  # another process has removed it
                return os.open(path, flags)
        else:
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            return descriptor


def make_file(path: Path, mode: int, owner: Owner | None = None) -> None:
    """Make an empty file. An existing one keeps its content and gets this mode. Raises OSError."""
    os.close(open_file(path, os.O_WRONLY | os.O_NONBLOCK, mode, owner))
    set_mode(path, mode, owner)


def open_to_append(path: Path, mode: int) -> BinaryIO:
    """Open a file that several processes append to, such as a log. It can be read, too. Raises OSError."""
    return os.fdopen(open_file(path, os.O_RDWR | os.O_APPEND, mode), "a+b")


def open_to_write(path: Path, mode: int) -> BinaryIO:
    """Open a file and empty it. The mode is for a new file. Raises OSError."""
    return os.fdopen(open_file(path, os.O_WRONLY | os.O_TRUNC, mode), "wb")


def write(path: Path, data: str | bytes, mode: int) -> None:
    """Write a whole file in place. For files that nobody reads at the same time. Raises OSError."""
    with open_to_write(path, mode) as file:
        os.fchmod(file.fileno(), mode)
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


def write_atomically(path: Path, data: str | bytes, mode: int, owner: Owner | None = None) -> None:
    """Replace a file in one step. Raises OSError, and leaves the old file and no other then."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(fresh, flags, 0o600), "wb") as file:
            file.write(data.encode("utf-8") if isinstance(data, str) else data)
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def is_only_of(path: Path, users: Collection[int]) -> bool:
    """True if only root and `users` control what is at an absolute path: every directory and link on the way is theirs,
    and nobody else may write there. False if nothing is there."""
    sticky: bool | None = False
    try:
        for part in links.way(path):
            status = os.lstat(part)
            if stat.S_ISLNK(status.st_mode):
                sticky = False if status.st_uid in {0, *users} else None
            else:
                sticky = _is_theirs(status, users)
            if sticky is None:
                return False
    except OSError:
        return False
    return not sticky


def _is_theirs(status: os.stat_result, users: Collection[int]) -> bool | None:
    """None if others may change it; True if it is a sticky directory, where others may only add files of theirs."""
    if status.st_uid not in {0, *users}:
        return None
    if not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return False
    return True if status.st_mode & stat.S_ISVTX and stat.S_ISDIR(status.st_mode) else None


def write_in_place(path: Path, data: bytes) -> None:
    """Write a file that cannot be replaced, such as a mount. Mode and owner stay. Raises OSError."""
    with open(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC), "wb") as file:
        file.write(data)
