"""Entries of the queue: a file for each build, named as its derivation.

`queue/hook.sh` writes the output paths, one a line, and then a line `.`; without that line, it is still writing. In
`failed/`, the reason follows the `.`. Other users may put anything there, so only regular files are read.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..nix.store import BASE_NAME
from ..system.dataclass import dataclass

CANARY: Final = "nix-autocache-canary"
MAX_ENTRY: Final = 1 << 20  # bytes; a derivation has a handful of outputs of some 100 bytes each
TORN_AFTER: Final = 5.0  # seconds: the hook writes an entry in well under one


@dataclass(frozen=True, slots=True)
class Entry:
    """One build. `outputs` is empty if Nix did not pass them to the hook."""

    name: str
    outputs: tuple[str, ...]


def read_entry(path: Path) -> Entry | None:
    """None if the hook is still writing it, or it is not an entry."""
    lines, age = _read_lines(path)
    if "." in lines:
        return Entry(path.name, tuple(lines[: lines.index(".")]))
    # Without `.`, the disk was full or the hook was killed: the name says what was built, the store knows its outputs.
    # The clock may go back, so an entry of the future is torn, too.
    return Entry(path.name, ()) if abs(age) > TORN_AFTER else None


def read_failed(path: Path) -> tuple[tuple[str, ...], str]:
    """The output paths of an entry in `failed/`, and the reason."""
    lines, _ = _read_lines(path)
    end = lines.index(".") if "." in lines else len(lines)
    return tuple(lines[:end]), " ".join(lines[end + 1 :]).strip()


def is_entry(item: os.DirEntry[str]) -> bool:
    return (
        BASE_NAME.fullmatch(item.name) is not None and CANARY not in item.name and item.is_file(follow_symlinks=False)
    )


def build_time(item: os.DirEntry[str]) -> float:
    """Seconds since 1970; 0 if the entry is gone."""
    try:
        return item.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0


def is_store_path(line: str) -> bool:
    """True if a line can be a store path. Reports print nothing else."""
    return line.startswith("/") and BASE_NAME.fullmatch(line.rpartition("/")[2]) is not None and line.isprintable()


def _read_lines(path: Path) -> tuple[list[str], float]:
    """The lines of a regular file and its age in seconds; no lines and 0 for any other kind of file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return [], _age(path)  # an unreadable entry is not waited for
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return [], 0.0
        age = time.time() - status.st_mtime
        try:
            return file.read(MAX_ENTRY).decode("utf-8", "replace").split("\n"), age
        except OSError:  # the disk is broken
            return [], age


def _age(path: Path) -> float:
    """Seconds since a regular file was written; 0 for any other kind of file."""
    with suppress(OSError):
        status = path.lstat()
        return time.time() - status.st_mtime if stat.S_ISREG(status.st_mode) else 0.0
    return 0.0
