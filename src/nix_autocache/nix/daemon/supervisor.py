"""The supervisor of a nix-daemon, for machines without a service manager: it restarts a daemon that died.

`Supervisor.start` runs it, as root, from root's own copy of this program. It holds the daemon's socket and passes it on
as systemd would, so that clients wait during a restart instead of being refused. It lives as long as it holds
`STATE/daemon.lock`; that file has its process number, and how often it started the daemon.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO, Final

from ...errors import RunnerError
from ...system import locks, own_copy, process
from ...system.backoff import LONGEST, Backoff
from ...system.dataclass import dataclass
from ...system.files import UMASK, make_directory, open_to_append, set_mode
from ...system.log import line as log_line

SOCKET: Final = Path("/nix/var/nix/daemon-socket/socket")
_PATIENCE: Final = 10.0  # seconds to start, and to end
_POLL: Final = 0.005  # seconds
# A daemon that is told to end drops a connection that it has accepted and not yet given to a child.
_HANDING_ON: Final = 0.1  # seconds for the daemon to give accepted connections to children
_FIRST_FD: Final = 3  # sd_listen_fds(3)
# LISTEN_PID must be the number of the daemon's own process, which only that process knows.
_HAND_ON: Final = 'export LISTEN_PID=$$; exec "$@"'


@dataclass(frozen=True)
class Supervisor:
    """The supervisor with its lock and log in `state`, as other processes see it."""

    state: Path

    @property
    def log(self) -> Path:
        return self.state / "daemon.log"

    @property
    def lock(self) -> Path:
        return self.state / "daemon.lock"

    def start(self, program: str, environ: Mapping[str, str]) -> None:
        """Start it in the background, and wait until it listens. Raises RunnerError if it does not."""
        make_directory(self.state, 0o755)
        words = own_copy.command(own_copy.make(self.state / "supervisor", []), __name__, program, str(self.state))
        with open_to_append(self.log, 0o644) as log:
            begun = process.start(words, environ={"PATH": os.defpath, **environ}, output=log, session=True)
        process.wait_until(lambda: bool(self.pid()) or begun.poll() is not None, _PATIENCE, _POLL)
        if not self.pid():
            raise RunnerError(f"the nix-daemon cannot be started; see {self.log}")

    def pid(self) -> int:
        """Its process number; 0 if it does not run or does not listen yet."""
        return self._read()[0]

    def restart(self) -> None:
        """Make it restart the daemon. Clients that connect meanwhile wait, and running builds go on."""
        pid, starts = self._read()
        os.kill(pid, signal.SIGHUP)
        # Until then the old daemon could still accept a connection.
        if not process.wait_until(lambda: self._read()[1] != starts, _PATIENCE, _POLL):
            raise RunnerError(f"the nix-daemon does not end; see {self.log}")

    def stop(self) -> None:
        """End it and its daemon, if it runs. Raises RunnerError if it does not end."""
        pid = self.pid()
        if not pid:
            return
        os.kill(pid, signal.SIGTERM)
        if not process.wait_until(lambda: not self.pid(), _PATIENCE, _POLL):
            raise RunnerError(f"the supervisor of the nix-daemon (process {pid}) does not end; end it, then undo")

    def _read(self) -> tuple[int, int]:
        """Its process number, and the number of starts of the daemon; zeros if it does not run."""
        with suppress(ValueError):
            pid, starts = map(int, locks.text_of_holder(self.lock).split())
            return pid, starts
        return 0, 0


class _Daemon:
    """The daemon, kept alive. Each start is recorded in `file`, the lock."""

    def __init__(self, program: str, file: IO[str]) -> None:
        self._program = program
        self._file = file
        self._ended = False
        self._process: process.Process | None = None

    def keep(self) -> None:
        """Run it, and run it again whenever it ends, until SIGTERM."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGHUP, self._restart)
        starts, backoff = 0, Backoff()
        while not self._ended:
            begun = time.monotonic()
            try:
                self._process = _start(self._program)
            except OSError as error:  # such as a lack of memory, which may pass
                log_line(f"the nix-daemon cannot be started: {error}")
                time.sleep(backoff.after(0.0, wanted=False) or LONGEST)
                continue
            if self._ended:  # SIGTERM came before there was a process
                self._process.terminate()
            starts += 1
            self._record(starts)
            status = self._process.wait()
            pause = backoff.after(time.monotonic() - begun, wanted=status == -signal.SIGTERM)
            if not self._ended and pause is not None:
                log_line(f"the nix-daemon ended with {status}; it is started again")
                time.sleep(pause)

    def _record(self, starts: int) -> None:
        with suppress(OSError):  # a full disk
            self._file.seek(0)
            self._file.write(f"{os.getpid()} {starts:10}")
            self._file.flush()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ended = True
        self._restart(number, frame)

    def _restart(self, number: int, frame: FrameType | None) -> None:
        if self._process:
            try:
                _listen()  # from now on, clients wait for the next daemon
            except OSError as error:  # the old socket still works
                log_line(f"no new socket for the nix-daemon: {error}")
            time.sleep(_HANDING_ON)
            self._process.terminate()


def _start(program: str) -> process.Process:
    """Start the daemon. It ends with us, since nobody else would restart or stop it."""
    return process.start(
        ["/bin/sh", "-c", _HAND_ON, "sh", program],
        environ=process.inherited({"LISTEN_FDS": "1"}),
        output=1,
        errors=2,
        ends_with_us=True,
        pass_fds=(_FIRST_FD,),
    )


def _listen() -> None:
    """Listen on the daemon's socket, as the descriptor where the daemon looks for it."""
    make_directory(SOCKET.parent, 0o755)
    fresh = SOCKET.with_suffix(".fresh")
    fresh.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(fresh))
    set_mode(fresh, 0o666)
    server.listen(64)
    fresh.rename(SOCKET)  # in one step: clients find a socket at every moment
    os.dup2(server.fileno(), _FIRST_FD)
    if server.fileno() != _FIRST_FD:
        server.close()
    else:
        server.detach()


def main(program: str, state: Path) -> int:
    """Keep a daemon running until SIGTERM. Returns 1 if a supervisor runs already."""
    os.umask(UMASK)
    with locks.alive(Supervisor(state).lock) as file:
        if file is None:
            return 1
        _listen()
        _Daemon(program, file).keep()
        SOCKET.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], Path(sys.argv[2])))
