"""Files and directories with the mode that is said here, whatever the umask is; files replaced in one step.

GitLab's Docker executor has umask 0000, hardened images have 0077: neither may decide who can read or write what we
make. Everything that we make is made here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

UMASK: Final = 0o022
"""That of our own processes: what we only have made, by a library or another program, takes its mode from it."""
_LINKS: Final = 40  # on one way, as Linux has it
Owner: TypeAlias = tuple[int, int]
"""The numbers of a user and of a group."""
_HANDLE: Final = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK)  # it opens what we may not read, and sockets


def make_directory(path: Path, mode: int, owner: Owner | None = None) -> bool:
    """Make a directory, and those above it that are missing (0755); whether it was made now.

    One that was there already keeps its mode and its owner. Raises OSError, also where something else is there.
    """
    if path.is_dir():
        return False
    if not path.parent.is_dir():
        make_directory(path.parent, 0o755, owner)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if path.is_dir():  # somebody else was faster
            return False
        raise
    set_mode(path, mode, owner)
    return True


def set_mode(path: Path, mode: int, owner: Owner | None = None) -> None:
    """Mode and owner of a file, a directory or a socket that we made; a link is refused. Raises OSError."""
    descriptor = os.open(path, _HANDLE | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _refuse_link(descriptor, path)
        set_mode_of(descriptor, mode, owner)
    except OSError as error:
        error.filename = str(path)  # not that of the descriptor, which says nothing
        raise
    finally:
        os.close(descriptor)


def set_mode_of(handle: int, mode: int, owner: Owner | None = None) -> None:
    """Mode and owner of what was opened, by `handle_of` too. Raises OSError."""
    same = f"/proc/self/fd/{handle}" if sys.platform == "linux" else handle
    if owner is not None:
        os.chown(same, *owner)  # first: it takes away set-user-id bits
    os.chmod(same, mode)


@contextmanager
def handle_of(path: Path) -> Iterator[int]:
    """A handle of what lies at an absolute path, reached without any link, which somebody else could turn round.

    It is not opened to be read or written: a device or a pipe is only looked at. Raises OSError.
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
    """Take from others the right to change a directory or file, if it is ours: an earlier umask may have given it."""
    status = path.lstat()
    if status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o022:
        set_mode(path, stat.S_IMODE(status.st_mode) & ~0o022)


def open_file(path: Path, flags: int, mode: int, owner: Owner | None = None) -> int:
    """A descriptor for a file; one that is not there is made, with this mode. A link is refused. Raises OSError."""
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            with suppress(FileNotFoundError):  # somebody else removed it meanwhile
                return os.open(path, flags)
        else:
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            return descriptor


def make_file(path: Path, mode: int, owner: Owner | None = None) -> None:
    """An empty file, unless one is there; that keeps its content, and gets this mode. Raises OSError."""
    os.close(open_file(path, os.O_WRONLY | os.O_NONBLOCK, mode, owner))
    set_mode(path, mode, owner)


def open_to_append(path: Path, mode: int) -> BinaryIO:
    """For a log: a file that is written at its end, by several at once, and may be read. Raises OSError."""
    return os.fdopen(open_file(path, os.O_RDWR | os.O_APPEND, mode), "a+b")


def open_to_write(path: Path, mode: int) -> BinaryIO:
    """A file that begins empty, with this mode if it is made now. Raises OSError."""
    return os.fdopen(open_file(path, os.O_WRONLY | os.O_TRUNC, mode), "wb")


def write(path: Path, data: str | bytes, mode: int) -> None:
    """A whole file, in place: for what nobody reads meanwhile. Raises OSError."""
    with open_to_write(path, mode) as file:
        os.fchmod(file.fileno(), mode)
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


def copy_tree(source: Path, target: Path, *, compiled: bool = False) -> None:
    """A copy that all may read and nobody but us may change; with `compiled`, Python's bytecode as well, and the times
    of the files, by which it is known to fit. Raises OSError."""
    import shutil  # here, since most steps need none of it

    if compiled:
        shutil.copytree(source, target)
    else:
        shutil.copytree(source, target, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("__pycache__"))
    set_modes(target)


def write_atomically(path: Path, data: str | bytes, mode: int, owner: Owner | None = None) -> None:
    """Put a file in the place of what is there, whole or not at all. Raises OSError, and leaves nothing then."""
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


def set_modes(directory: Path) -> None:
    """Let everybody read a tree that we made, and its owner change it; it must lie where nobody else can write."""
    for current, _, files, descriptor in os.fwalk(directory):
        os.fchmod(descriptor, 0o755)
        for name in files:
            if not os.path.islink(os.path.join(current, name)):
                set_mode(Path(current, name), 0o644)


def is_only_of(path: Path, users: Collection[int]) -> bool:
    """Whether only root and `users` decide what lies at an absolute path: each directory and each link on the way is
    theirs, and nobody else may write there. False where there is nothing."""
    here, rest, links = Path("/"), list(reversed(path.parts[1:])), 0
    try:
        sticky = _is_theirs(os.lstat(here), users)
        while rest and sticky is not None and links < _LINKS:
            there = Path(os.path.normpath(here / rest.pop()))  # `..` of a directory, since links were followed
            status = os.lstat(there)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                target = Path(os.readlink(there))
                rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
                here = Path("/") if target.is_absolute() else here
                sticky = False if status.st_uid in {0, *users} else None
            else:
                here, sticky = there, _is_theirs(status, users)
    except OSError:
        return False
    return not rest and sticky is False


def _is_theirs(status: os.stat_result, users: Collection[int]) -> bool | None:
    """None where others may change what is there; True where they may add to it, and change only what is theirs."""
    if status.st_uid not in {0, *users}:
        return None
    if not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return False
    return True if status.st_mode & stat.S_ISVTX and stat.S_ISDIR(status.st_mode) else None


def write_in_place(path: Path, data: bytes) -> None:
    """Write a file that cannot be replaced, as one that is a mount; its mode and owner stay. Raises OSError."""
    with open(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC), "wb") as file:
        file.write(data)


@contextmanager
def locked(path: Path, seconds: float | None = None) -> Iterator[bool]:
    """Hold the lock that is the file `path`, given up when the process ends however it ends.

    Waits at most so many seconds, None for ever; yields whether the lock is held. Raises OSError.
    """
    # To lock a file one must only read it: whoever uses the lock keeps it to themselves.
    with open_to_append(path, 0o600) as file:
        yield _lock(file.fileno(), seconds)


def _lock(descriptor: int, seconds: float | None) -> bool:
    if seconds is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True
