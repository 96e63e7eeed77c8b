"""A machine's namespaces, as Linux shows them from outside.

Read from the host's /proc, so that looking starts no process inside. Paths below /proc/PID/root are never
followed: an absolute link in there would lead back to the host's own files.
"""

import ctypes
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CLONE_NEWNET = 0x40000000  # sched.h; os.setns came with Python 3.12


@dataclass(frozen=True)
class ProcessInfo:
    """A process as the machine itself numbers it; a zombie has no `argv`."""

    pid: int
    user: str
    argv: tuple[str, ...]


def processes(init: int, users: Mapping[int, str]) -> list[ProcessInfo]:
    """All processes of the pid namespace that `init` began; `users` gives names to user numbers."""
    space = (PROC / str(init) / "ns/pid").readlink()
    found = []
    for directory in PROC.iterdir():
        # A process may end while it is looked at.
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if directory.name.isdigit() and (directory / "ns/pid").readlink() == space:
                found.append(_describe(directory, users))
    return sorted(found, key=lambda process: process.pid)


def only_child(pid: int) -> int:
    """The host's number of the one process that `pid` started; 0 when there is none."""
    return int((PROC / f"{pid}/task/{pid}/children").read_text() or 0)


@contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Moves the calling thread into the process's network, and back; sockets stay where they were opened."""
    home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    there = os.open(PROC / str(pid) / "ns/net", os.O_RDONLY)
    try:
        _enter(there)
        yield
    finally:
        _enter(home)
        os.close(home)
        os.close(there)


def _describe(directory: Path, users: Mapping[int, str]) -> ProcessInfo:
    fields = dict(line.split(":", 1) for line in (directory / "status").read_text().splitlines())
    argv = (directory / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    uid = int(fields["Uid"].split()[1])
    return ProcessInfo(int(fields["NSpid"].split()[-1]), users.get(uid, str(uid)), tuple(argv))


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
