"""The uploader's own system user, which runs root's copy of this program: the job's code reaches neither key nor queue.

Used by root, through `root_helper`. Standard library only.
"""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from ..system import own_copy, process, users
from ..system.dataclass import dataclass
from ..system.files import is_only_of, write_atomically
from ..system.version import PACKAGE
from ..uploader.process.client import UploaderClient
from . import journal
from .paths import UNDO, JobPaths, Paths

USER: Final = "nix-autocache"
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
HOME: Final = "/var/empty"
_END: Final = 3.0  # seconds for an uploader to stop


@dataclass(frozen=True)
class MadeUploaderUser(journal.Change):
    kind: ClassVar[str] = "uploader-user"

    def undo(self, paths: Paths) -> None:
        """No tool removes the user of a running process, so these end first."""
        with suppress(KeyError):
            _end_all(pwd.getpwnam(USER).pw_uid, seconds=_END)
        users.remove([USER], group=USER)


def owner(paths: Paths) -> tuple[int, int]:
    """The system user and its group, made if missing. Raises RunnerError if that fails."""
    if users.missing([USER]):
        journal.record(paths, MadeUploaderUser())
        users.make_system_user(USER, "nix-autocache's uploader")
    account = pwd.getpwnam(USER)
    return account.pw_uid, account.pw_gid


def write_undo(source: Path) -> None:
    """Write the program with which root undoes all this, from a copy that nobody else could have changed."""
    python = next((path for path in (sys.executable, "/usr/bin/python3") if is_only_of(Path(path), {0})), "python3")
    words = ["env", "-i", f"PATH={_PATH}", str(python), *own_copy.command([source], PACKAGE.name, "undo")[1:]]
    write_atomically(UNDO, f"#!/bin/sh\n# nix-autocache: undo, for root\nexec {shlex.join(words)}\n", 0o755)


def end(job: JobPaths) -> None:
    """Kill a job's uploader and its reader, which may have a key and not listen yet."""
    socket = str(UploaderClient(job.directory).socket)
    with suppress(KeyError):
        _end_all(pwd.getpwnam(USER).pw_uid, socket, seconds=0.0)


def _end_all(uid: int, argument: str = "", *, seconds: float) -> None:
    """Wait for the end of a user's processes, then kill them; only those with this argument, if there is one."""

    def running() -> list[int]:
        return [int(entry.name) for entry in Path("/proc").iterdir() if _belongs(entry, uid, argument)]

    process.wait_until(lambda: not running(), seconds)
    while left := running():  # they may start others until they are gone
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        process.wait_until(lambda: not running(), process.POLL)


def _belongs(entry: Path, uid: int, argument: str) -> bool:
    """By the user in `status`: an undumpable process's own directory is root's."""
    with suppress(OSError):
        if entry.name.isdecimal():
            lines = (entry / "status").read_text().splitlines()
            theirs = any(line.split()[:2] == ["Uid:", str(uid)] for line in lines) and "Z (zombie)" not in lines[2]
            return theirs and (not argument or os.fsencode(argument) in (entry / "cmdline").read_bytes().split(b"\0"))
    return False
