"""What systemd does for the uploader of a provisioned machine, where there is no systemd.

It gives it a user of its own and its credentials, starts it again when it ends, and keeps its log short. `start` runs
it, as root; it lives as long as it holds `keeper.lock`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

from ...errors import RunnerError, as_error, one_line
from ...system import own_copy, process
from ...system.backoff import Backoff
from ...system.files import UMASK, make_directory, open_to_append, set_mode, write, write_atomically
from ...system.locks import alive, text_of_holder
from ...system.log import line as tell
from ...system.process import Account
from ...system.trees import remove_tree
from ...system.watchdog import Pulse
from ...uploader.process.client import UploaderClient
from ...uploader.read_proxy import launch
from .. import managed_machine, uploader_user
from ..paths import Paths, machine
from . import configuration

CREDENTIALS: Final = Path("/run/nix-autocache/credentials")  # in memory, as all of /run is
_LONGEST: Final = 1 << 20  # bytes of a log
_LOOK: Final = 1.0  # seconds between looks at the log
_PATIENCE: Final = 10.0  # seconds for it to begin and to end


def start(
    command: Iterable[str], environ: Mapping[str, str], places: Paths, program: Path, listening: int | None
) -> None:
    """Start it in the background from root's copy, or have it start the uploader anew. Raises RunnerError.

    `listening` is the descriptor of the reader's socket, which it keeps for all uploaders.
    """
    if pid := _pid(places):
        os.kill(pid, signal.SIGHUP)
        return
    with open_to_append(log(places), 0o644) as file:
        words = own_copy.command([program], __name__, *command)
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", **environ}
        kept = [listening] if listening is not None else []
        environment |= launch.handed_on(kept)
        process.start(words, environ=environment, output=file, session=True, pass_fds=kept)
    _wait(lambda: bool(_pid(places)), f"the uploader's keeper does not start; see {log(places)}")


def runs(places: Paths) -> bool:
    return bool(_pid(places))


def stop(places: Paths) -> None:
    """End it and its uploader, if it runs. Raises RunnerError if it does not end."""
    if pid := _pid(places):
        os.kill(pid, signal.SIGTERM)
        _wait(lambda: not _pid(places), f"the uploader's keeper (process {pid}) does not end")
    remove_tree(CREDENTIALS.parent)


class _Keeper:
    """One uploader after the other, with `command`."""

    def __init__(self, command: list[str], places: Paths) -> None:
        self._command = command
        self._places = places
        self._ended = self._asked = False
        self._process: process.Process | None = None
        number = os.environ.pop(launch.LISTENING, "")
        self._socket = socket.socket(fileno=int(number)) if number else None

    def keep(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGHUP, self._again)
        backoff = Backoff()
        while not self._ended:
            begun, self._asked = time.monotonic(), False
            try:
                status = self._run()
            except Exception as error:  # no space, no process, no user: they may be back
                tell(one_line(as_error(error)))
                status = 1
            pause = backoff.after(time.monotonic() - begun, wanted=self._asked or status == 0)
            if not self._ended and pause is not None:
                tell(f"the uploader ended with {status}; it is started again")
                time.sleep(pause)

    def _run(self) -> int:
        """Start it and wait for its end; its status."""
        _hand_out(self._places)
        # An uploader that was killed left it there, and its reader waits for its end.
        UploaderClient(managed_machine.place(self._places).directory).socket.unlink(missing_ok=True)
        uid, gid = uploader_user.owner(self._places)
        kept = self._listening()
        with Pulse(CREDENTIALS.with_name("notify"), (uid, gid)) as pulse:
            self._process = process.start(
                self._command,
                environ={
                    **os.environ,
                    **pulse.environment,
                    **launch.handed_on(kept),
                    "CREDENTIALS_DIRECTORY": str(CREDENTIALS),
                },
                pass_fds=kept,
                output=1,
                errors=2,
                account=Account(uid, gid),
                ends_with_us=True,
                session=True,
                umask=UMASK,
            )
            return self._watch(self._process, pulse)

    def _listening(self) -> list[int]:
        """The descriptor of the reader's socket, if it has one here: the uploader tries it again by itself."""
        note = managed_machine.ManagedMachine.load(self._places)
        port = note.reader_port if note else 0
        if self._socket and self._socket.getsockname()[1] != port:
            self._socket.close()
            self._socket = None
        if port and not self._socket:
            try:
                self._socket = launch.listen(port)
            except OSError as error:
                tell(f"port {port}, where Nix is to read the cache: {error.strerror}")
        return [self._socket.fileno()] if self._socket else []

    def _watch(self, running: process.Process, pulse: Pulse) -> int:
        """Wait for its end, and end it if it hangs; its status."""
        asked = 0.0
        while True:
            if self._ended or self._asked:
                running.terminate()
                asked = asked or time.monotonic()
            if pulse.lost() or (asked and time.monotonic() - asked > _PATIENCE / 2):
                tell("the uploader does not answer any more; it is killed")
                running.kill()
            with suppress(process.TimeoutExpired):
                status = running.wait(_LOOK)
                with suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)  # what it started, too
                return status
            with suppress(OSError):  # its log may be gone, or the disk full
                _shorten(log(self._places))

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ended = True
        self._again(number, frame)

    def _again(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if self._process:
            self._process.terminate()


def _hand_out(places: Paths) -> None:
    """The secrets, each in a file that only the uploader's user may read."""
    told = configuration.load()
    remove_tree(CREDENTIALS)
    make_directory(CREDENTIALS, 0o700)
    for name, path in told.secrets.items():
        write_atomically(CREDENTIALS / name, path.read_bytes(), 0o400, uploader_user.owner(places))
    set_mode(CREDENTIALS, 0o500, uploader_user.owner(places))


def _shorten(log: Path) -> None:
    """The uploader goes on writing at the end of the same file, which begins anew."""
    if log.stat().st_size > _LONGEST:
        write(log.with_suffix(".log.1"), log.read_bytes(), 0o644)
        os.truncate(log, 0)


def log(places: Paths) -> Path:
    return places.state / "uploader.log"


def _lock(places: Paths) -> Path:
    return places.state / "keeper.lock"


def _pid(places: Paths) -> int:
    """The number of its process; 0 when it does not run."""
    return int(text_of_holder(_lock(places)) or 0)


def _wait(condition: Callable[[], bool], complaint: str) -> None:
    if not process.wait_until(condition, _PATIENCE):
        raise RunnerError(complaint)


def main(command: list[str]) -> int:
    """Keep the uploader until told to stop; 1 when there is a keeper already."""
    os.umask(UMASK)
    places = machine({})
    with alive(_lock(places)) as file:
        if file is None:
            return 1
        file.write(str(os.getpid()))
        file.flush()
        _Keeper(command, places).keep()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
