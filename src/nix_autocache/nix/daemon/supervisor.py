"""A nix-daemon where no service manager runs: started again when it dies, stopped when nobody needs it.

The supervisor holds the daemon's socket and hands it on as systemd would, so that clients wait while the daemon is
restarted instead of being refused. `Supervisor.start` runs it, as root, from root's own copy of this program. It lives
as long as it holds `STATE/daemon.lock`; in that file are the number of its process, and how often it has started the
daemon.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Final

from ...errors import RunnerError
from ...system import own_copy, process
from ...system.files import UMASK, make_directory, open_file, open_to_append, set_mode
from ...system.log import line as tell

SOCKET: Final = Path("/nix/var/nix/daemon-socket/socket")
_PATIENCE: Final = 10.0  # seconds for it to begin and to end
# Nix drops a connection that it has taken and not yet given to a child when it is told to end.
_HANDING_ON: Final = 0.1  # seconds for the daemon to hand on what it has taken
_LOOK: Final = 0.5  # seconds that nobody looks for who holds a lock
_PAUSES: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)  # seconds before a program is started again; the last for ever
_STEADY: Final = 10.0  # seconds that it must have lived for the pauses to begin anew
_FIRST_FD: Final = 3  # sd_listen_fds(3)
# The number of the process that the socket is for is known only in that process.
_HAND_ON: Final = 'export LISTEN_PID=$$; exec "$@"'


@dataclass(frozen=True)
class Supervisor:
    """The supervisor whose lock and log are in `state`, seen from other processes."""

    state: Path

    @property
    def log(self) -> Path:
        return self.state / "daemon.log"

    @property
    def lock(self) -> Path:
        return self.state / "daemon.lock"

    def start(self, program: str, environ: Mapping[str, str]) -> None:
        """Start it in the background; returns when the daemon's socket is there. Raises RunnerError if it is not."""
        make_directory(self.state, 0o755)
        words = own_copy.command(own_copy.make(self.state / "supervisor", []), __name__, program, str(self.state))
        with open_to_append(self.log, 0o644) as log:
            begun = process.start(words, environ={"PATH": os.defpath, **environ}, output=log, session=True)
        deadline = time.monotonic() + _PATIENCE
        while not self.pid():
            if begun.poll() is not None or time.monotonic() > deadline:
                raise RunnerError(f"the nix-daemon cannot be started; see {self.log}")
            time.sleep(0.005)

    def pid(self) -> int:
        """The number of its process; 0 when it does not run, or does not listen yet."""
        return self._read()[0]

    def restart(self) -> None:
        """Let it start the daemon anew. Clients that connect meanwhile wait; builds that run go on."""
        pid, starts = self._read()
        os.kill(pid, signal.SIGHUP)
        deadline = time.monotonic() + _PATIENCE
        while self._read()[1] == starts:  # or the old one might still accept a connection
            if time.monotonic() > deadline:
                raise RunnerError(f"the nix-daemon does not end; see {self.log}")
            time.sleep(0.005)

    def stop(self) -> None:
        """End it and its daemon, if it runs. Raises RunnerError if it does not end."""
        pid = self.pid()
        if not pid:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE
        while self.pid():
            if time.monotonic() > deadline:
                raise RunnerError(f"the supervisor of the nix-daemon (process {pid}) does not end; end it, then undo")
            time.sleep(0.005)

    def _read(self) -> tuple[int, int]:
        """The number of its process, and of the daemon's starts; zeros when it does not run."""
        with suppress(ValueError):
            pid, starts = map(int, holder(self.lock).split())
            return pid, starts
        return 0, 0


class Pauses:
    """How long to wait before a program that ended is started again: the longer, the oftener it ended too soon."""

    def __init__(self) -> None:
        self._failures = 0

    def after(self, lived: float, *, wanted: bool) -> float | None:
        """None when it did not end too soon, since it lived long enough or was `wanted` to end."""
        if lived > _STEADY or wanted:
            self._failures = 0
            return None
        self._failures += 1
        return _PAUSES[min(self._failures, len(_PAUSES)) - 1]


class _Daemon:
    """The daemon that is kept alive; `file` is told of each start."""

    def __init__(self, program: str, file: IO[str]) -> None:
        self._program = program
        self._file = file
        self._ended = False
        self._process: process.Process | None = None

    def keep(self) -> None:
        """Run it again and again, until SIGTERM."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGHUP, self._again)
        starts, pauses = 0, Pauses()
        while not self._ended:
            begun = time.monotonic()
            try:
                self._process = _start(self._program)
            except OSError as error:  # no memory, or no process, for a moment
                tell(f"the nix-daemon cannot be started: {error}")
                time.sleep(pauses.after(0.0, wanted=False) or _PAUSES[-1])
                continue
            if self._ended:  # the signal came before there was a process to pass it to
                self._process.terminate()
            starts += 1
            self._tell(starts)
            status = self._process.wait()
            pause = pauses.after(time.monotonic() - begun, wanted=status == -signal.SIGTERM)
            if not self._ended and pause is not None:
                tell(f"the nix-daemon ended with {status}; it is started again")
                time.sleep(pause)

    def _tell(self, starts: int) -> None:
        with suppress(OSError):  # a full disk
            self._file.seek(0)
            self._file.write(f"{os.getpid()} {starts:10}")
            self._file.flush()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ended = True
        self._again(number, frame)

    def _again(self, number: int, frame: FrameType | None) -> None:
        if self._process:
            try:
                _listen()  # who connects from now on waits for the next daemon
            except OSError as error:  # the socket that there is still works
                tell(f"no new socket for the nix-daemon: {error}")
            time.sleep(_HANDING_ON)
            self._process.terminate()


def _start(program: str) -> process.Process:
    """The daemon, which ends when we do: nobody would keep it alive, nor stop it."""
    return process.start(
        ["/bin/sh", "-c", _HAND_ON, "sh", program],
        environ={**os.environ, "LISTEN_FDS": "1"},
        output=1,
        errors=2,
        ends_with_us=True,
        pass_fds=(_FIRST_FD,),
    )


def _listen() -> None:
    """Listen on the daemon's socket, as the descriptor that the daemon will look for it at."""
    make_directory(SOCKET.parent, 0o755)
    fresh = SOCKET.with_suffix(".fresh")
    fresh.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(fresh))
    set_mode(fresh, 0o666)
    server.listen(64)
    fresh.rename(SOCKET)  # there is one at every moment
    os.dup2(server.fileno(), _FIRST_FD)
    if server.fileno() != _FIRST_FD:
        server.close()
    else:
        server.detach()


def holder(path: Path) -> str:
    """What whoever holds this lock wrote there; empty when nobody holds it."""
    with suppress(OSError), open(path, encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read()
    return ""


@contextmanager
def holding(path: Path) -> Iterator[IO[str] | None]:
    """The lock that says that we live; None when another has it. Above the descriptor that is the socket's."""
    low = open_file(path, os.O_RDWR, 0o600)
    high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(low)
    with open(high, "r+") as file:
        if not _locked(file):
            yield None
            return
        file.truncate()
        yield file


def _locked(file: IO[str]) -> bool:
    """Whoever looks for the holder holds the lock for a moment too, and is not one."""
    deadline = time.monotonic() + _LOOK
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        else:
            return True


def main(program: str, state: Path) -> int:
    """Keep a daemon until told to stop; 1 when there is a supervisor already."""
    os.umask(UMASK)
    with holding(Supervisor(state).lock) as file:
        if file is None:
            return 1
        _listen()
        _Daemon(program, file).keep()
        SOCKET.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], Path(sys.argv[2])))
