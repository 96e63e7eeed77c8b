"""Programs that root runs, or will run by itself: whoever can change one becomes root.

A user sees only part of them. Root, before it is taken away, sees them all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from . import unattended

# Variables with lists of paths from which processes take code.
_CODE: Final = frozenset(
    {
        "BASH_ENV",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "NODE_PATH",
        "PATH",
        "PERL5LIB",
        "PYTHONHOME",
        "PYTHONPATH",
        "RUBYLIB",
    }
)


def programs_of_root() -> list[str]:
    """The programs that root starts by itself, and those of its processes, which may start again.

    Every word of a command line may name one, also as `--option=FILE`. Only root can resolve a relative one, and see
    the program itself and its variables. This process and its ancestors are left out.
    """
    found = dict.fromkeys(unattended.programs())
    asking = set(_ancestors(os.getpid()))
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) not in asking:
            with suppress(OSError):
                if entry.stat().st_uid == 0:
                    found.update(dict.fromkeys(_started_from(entry)))
    return list(found)


def _started_from(entry: Path) -> Iterator[str]:
    directory, program = "/", ""
    with suppress(OSError):
        directory, program = os.readlink(entry / "cwd"), os.readlink(entry / "exe")
        yield program
    for word in _texts(entry / "cmdline"):
        for name in (word, word.partition("=")[2]):
            path = os.path.join(directory, name)
            if name and os.path.isfile(path):
                yield path
    if _is_set_user_id(program):  # such as sudo, which has its caller's variables and ignores these
        return
    for name, _, value in (text.partition("=") for text in _texts(entry / "environ")):
        if name in _CODE:
            yield from (os.path.join(directory, part) for part in value.split(":") if part)


def _is_set_user_id(program: str) -> bool:
    with suppress(OSError):
        return bool(os.stat(program).st_mode & stat.S_ISUID)
    return False


def _texts(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_bytes().decode(errors="surrogateescape").split("\0")
    return []


def _ancestors(pid: int) -> Iterator[int]:
    """A process and its ancestors."""
    while pid:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return
