"""Whole directory trees: made for a while, copied with fixed modes, and removed even if another user owns a part.

Removal opens each directory and works relative to it, never by path: the other user could replace a directory by a link
while root walks, and root would change what the link names. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from .files import set_mode, set_mode_of

_MOST_ROUNDS: Final = 100_000  # one for each level of directories
_TEMPORARY: Final = ("/tmp", "/var/tmp")  # noqa: S108 - `_made` takes nothing that is there
_DIRECTORY: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HANDLE: Final = getattr(os, "O_PATH", os.O_RDONLY)  # opens also what its owner may not read


@contextmanager
def temporary_directory(preferred: str | None = None) -> Iterator[Path]:
    """A new directory for this user alone, removed at the end: in `preferred`, or where that takes none, in /tmp.

    Raises OSError if none can be made. The standard library's loads all that unpacks archives, which takes 9 ms.
    """
    made = _made([*filter(None, [preferred]), *_TEMPORARY])
    try:
        yield made
    finally:
        remove_tree(made)


def _made(parents: Sequence[str]) -> Path:
    """In the first that takes it; `mkdir` follows no link, and takes nothing that is there."""
    path = Path(os.path.abspath(parents[0]), f"nix-autocache-{os.urandom(8).hex()}")
    try:
        path.mkdir(0o700)
    except OSError:
        if len(parents) == 1:
            raise
        return _made(parents[1:])
    return path


def copy_tree(source: Path, target: Path, *, compiled: bool = False) -> None:
    """Copy a tree so that all may read it and only we may write. Raises OSError.

    With `compiled`, it copies Python's bytecode, and the times of files, by which Python knows that it fits.
    """
    import shutil  # most steps do not need it

    if compiled:
        shutil.copytree(source, target)
    else:
        shutil.copytree(source, target, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("__pycache__"))
    set_modes(target)


def set_modes(directory: Path) -> None:
    """Make a tree of ours readable for all and writable for its owner. It must be where nobody else can write."""
    for current, _, files, descriptor in os.fwalk(directory):
        os.fchmod(descriptor, 0o755)
        for name in files:
            if not os.path.islink(os.path.join(current, name)):
                set_mode(Path(current, name), 0o644)


def remove_tree(path: Path) -> None:
    """Remove a file or a directory, read-only parts included, as in a Nix store. Raises nothing.

    Mounts stay, and so does everything that cannot be removed.
    """
    with suppress(OSError):
        parent = os.open(path.parent, _HANDLE | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not _unlinked(path.name, parent):
                with _opened(path.name, parent, mounted=True) as directory:
                    _empty(directory)
                os.rmdir(path.name, dir_fd=parent)
        finally:
            os.close(parent)


def _empty(top: int) -> None:
    """Empty a directory. Deeper directories are moved to its top first, so that any depth needs few descriptors."""
    prefix = f".{os.urandom(8).hex()}."
    for number in range(_MOST_ROUNDS):
        removed = [_remove(top, name, f"{prefix}{number}.{place}") for place, name in enumerate(os.listdir(top))]
        if not any(removed):
            return


def _remove(top: int, name: str, lifted: str) -> bool:
    """Remove a file, or a directory and the files in it. True if anything was removed."""
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
    """Remove a file, or move a directory to the top. False if that failed."""
    if _unlinked(name, directory):
        return True
    with suppress(OSError), _opened(name, directory):  # only a writable directory can be moved
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
    """Open a directory in another, and make it writable for us. Raises OSError, also for a link or a mount."""
    handle = os.open(name, _HANDLE | _DIRECTORY, dir_fd=parent)
    try:
        if not mounted and os.fstat(handle).st_dev != os.fstat(parent).st_dev:
            raise OSError(f"{name} is another file system")
        with suppress(OSError):  # root does not need it
            owner = (0, 0) if os.geteuid() == 0 else None  # or its user could go on filling it
            set_mode_of(handle, 0o700, owner)
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
    finally:
        os.close(handle)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
