"""The uploader apart from the job: a system user of its own, which runs root's copy of the program.

Used by root, by way of `privileged`, where the job's code shall reach neither key nor queue. Standard library only.
"""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..system import own_copy, users
from ..system.files import is_only_of, make_file, write_atomically
from ..uploader.process.client import UploaderClient
from .paths import UNDO, JobPaths, Paths

USER: Final = "nix-autocache"
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
HOME: Final = "/var/empty"
_END: Final = 3.0  # seconds for an uploader that was told to stop


def owner(places: Paths) -> tuple[int, int]:
    """The system user's and its group's number; made if it is not there. Raises RunnerError if that fails."""
    if users.missing([USER]):
        make_file(_note(places), 0o644)
        users.make_system_user(USER, "nix-autocache's uploader")
    account = pwd.getpwnam(USER)
    return account.pw_uid, account.pw_gid


def forget(places: Paths) -> None:
    """Remove the user, if it was made here, and end what still runs as it: no tool removes the user of a process."""
    if _note(places).exists():
        with suppress(KeyError):
            _end_all(pwd.getpwnam(USER).pw_uid)
        users.remove([USER], group=USER)


def write_undo(source: Path) -> None:
    """A program for root that brings this machine back, from a copy that nobody else can have changed."""
    python = next((path for path in (sys.executable, "/usr/bin/python3") if is_only_of(Path(path), {0})), "python3")
    words = ["env", "-i", f"PATH={_PATH}", str(python), *own_copy.command([source], own_copy.PACKAGE.name, "undo")[1:]]
    write_atomically(UNDO, f"#!/bin/sh\n# nix-autocache: undo, for root\nexec {shlex.join(words)}\n", 0o755)


def end(job: JobPaths) -> None:
    """End a job's uploader and its reader, which may have a key and not listen yet."""
    socket = str(UploaderClient(job.directory).socket)
    with suppress(KeyError):
        _end_all(pwd.getpwnam(USER).pw_uid, socket, patience=0.0)


def _end_all(uid: int, word: str = "", patience: float = _END) -> None:
    """The processes of a user, or of those the ones with this word in their command line."""
    deadline = time.monotonic() + patience
    while running := [int(entry.name) for entry in Path("/proc").iterdir() if _belongs(entry, uid, word)]:
        if time.monotonic() > deadline:
            for process in running:
                with suppress(OSError):
                    os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def _belongs(entry: Path, uid: int, word: str) -> bool:
    """By the number in `status`: the directory itself is root's where a process is undumpable."""
    with suppress(OSError):
        if entry.name.isdecimal():
            lines = (entry / "status").read_text().splitlines()
            theirs = any(line.split()[:2] == ["Uid:", str(uid)] for line in lines) and "Z (zombie)" not in lines[2]
            return theirs and (not word or os.fsencode(word) in (entry / "cmdline").read_bytes().split(b"\0"))
    return False


def _note(places: Paths) -> Path:
    return places.state / "user-made"
