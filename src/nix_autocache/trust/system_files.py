"""Files that root runs or reads, Nix's store, and any other path: can the job's user change them?

The answers hold for the user that runs this, with the groups of this process.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..system import links
from .programs import programs_of_root

# Files that root runs or trusts: whole trees, and directories of which only the entries are tried.
_TREES: Final = (
    "/boot", "/etc", "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/lib/systemd", "/usr/local/bin",
    "/usr/local/sbin", "/usr/local/lib/systemd", "/usr/lib/udev", "/usr/share/dbus-1", "/usr/share/polkit-1",
    "/var/spool/cron", "/run/systemd/system", "/run/udev/rules.d",
)  # fmt: skip
_ENTRIES: Final = (
    "/", "/usr", "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share", "/usr/local", "/usr/local/lib", "/var",
    "/var/lib", "/root",
)  # fmt: skip
_STORE: Final = ("/nix", "/nix/store", "/nix/var", "/nix/var/nix", "/nix/var/nix/db", "/nix/var/nix/db/db.sqlite")


def system_files(programs: Iterable[str]) -> list[Path]:
    """The files that root runs or trusts, and that this user can change. `programs` are those that root found."""
    entries = [path for path in map(Path, _ENTRIES) if not path.is_symlink()]  # a merged /lib is /usr's
    found = [path for path in entries if _changeable(path)]
    for directory in entries[2:]:
        found += [path for path in _list(directory) if _changeable(path) and not _is_scratch(path)]
    for tree in map(Path, _TREES):
        found += [] if tree.is_symlink() else _changeable_below(tree)
    for program in map(Path, dict.fromkeys([*programs, *programs_of_root()])):
        found += [part for part in _way(program) if _changeable(part)]
    return list(dict.fromkeys(found))


def store() -> list[Path]:
    """The parts of Nix's store that this user can write."""
    return [path for path in map(Path, _STORE) if _changeable(path)]


def changeable(path: Path) -> Path | None:
    """The last part of a path that this user can change: the path itself, or a directory on the way."""
    found = [part for part in _way(path) if _changeable(part)]
    return found[-1] if found else None


def interpreter() -> Path | None:
    """A part of the Python that runs this, which this user can change."""
    return next(filter(None, map(changeable, parts_of_python())), None)


def parts_of_python() -> list[Path]:
    """The Python that runs this, and its library."""
    import sysconfig

    return [Path(sys.executable), *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))]


def _changeable(path: Path) -> bool:
    """True if this user can write it, or could after a chmod. False for a link."""
    try:
        status = path.lstat()
    except OSError:
        return False
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return False
    if os.access(path, os.W_OK):
        return True
    return status.st_uid == os.geteuid() and not os.statvfs(path).f_flag & os.ST_RDONLY


def _way(path: Path) -> Iterator[Path]:
    with suppress(OSError):  # a circle of links
        yield from links.way(path)


def _is_scratch(path: Path) -> bool:
    """True for a directory such as /var/tmp, where nobody can change the files of others."""
    return bool(path.stat().st_mode & stat.S_ISVTX)


def _changeable_below(tree: Path) -> Iterator[Path]:
    """The parts of a tree that this user can change, with the targets of its links and the ways there."""
    if _changeable(tree):
        yield tree
    seen = set()
    for directory, directories, files in os.walk(tree):
        for name in (*directories, *files):
            path = Path(directory, name)
            for part in _way(path) if path.is_symlink() else [path]:
                if part not in seen and not part.is_relative_to("/proc") and _changeable(part):
                    yield part
                seen.add(part)


def _list(directory: Path) -> Iterable[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
