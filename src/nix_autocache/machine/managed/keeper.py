"""What systemd does for a managed machine's uploader, where there is no systemd.

It gives the uploader its own user and its credentials, restarts it when it ends or hangs, and keeps its log short.
`start` runs it as root. It lives as long as it holds `keeper.lock`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

from ...errors import RunnerError, as_error, one_line
from ...system import own_copy, process
from ...system.backoff import Backoff
from ...system.files import UMASK, open_to_append
from ...system.locks import alive, text_of_holder
from ...system.log import line as log_line
from ...system.process import Account
from ...system.trees import remove_tree
from ...system.watchdog import Pulse
from ...uploader.process.client import UploaderClient
from ...uploader.read_proxy import launch
from .. import managed_machine, uploader_user
from ..paths import Paths, machine
from . import uploader_log
from .credentials import CREDENTIALS, hand_out

_POLL: Final = 1.0  # seconds between looks at the log
_PATIENCE: Final = 10.0  # seconds for it to begin and to end


def start(
    command: Iterable[str], environ: Mapping[str, str], paths: Paths, program: Path, listening: int | None
) -> None:
    """Start it in the background from root's copy, or have it restart the uploader. Raises RunnerError.

    `listening` is the descriptor of the reader's socket, which it keeps for all uploaders.
    """
    if pid := _pid(paths):
        os.kill(pid, signal.SIGHUP)
        return
    with open_to_append(uploader_log.path(paths), 0o644) as file:
        words = own_copy.command([program], __name__, *command)
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", **environ}
        kept = [listening] if listening is not None else []
        environment |= launch.passed_on(kept)
        process.start(words, environ=environment, output=file, session=True, pass_fds=kept)
    if not process.wait_until(lambda: runs(paths), _PATIENCE):
        raise RunnerError(f"the uploader's keeper does not start; see {uploader_log.path(paths)}")


def runs(paths: Paths) -> bool:
    return bool(_pid(paths))


def stop(paths: Paths) -> None:
    """End it and its uploader, if it runs. Raises RunnerError if it does not end."""
    if pid := _pid(paths):
        os.kill(pid, signal.SIGTERM)
        if not process.wait_until(lambda: not runs(paths), _PATIENCE):
            raise RunnerError(f"the uploader's keeper (process {pid}) does not end")
    remove_tree(CREDENTIALS.parent)


class _Keeper:
    """Runs `command`, the uploader, again and again."""

    def __init__(self, command: list[str], paths: Paths) -> None:
        self._command = command
        self._paths = paths
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
            except Exception as error:  # no space, no process, no user: that may change
                log_line(one_line(as_error(error)))
                status = 1
            pause = backoff.after(time.monotonic() - begun, wanted=self._asked or status == 0)
            if not self._ended and pause is not None:
                log_line(f"the uploader ended with {status}; it is started again")
                time.sleep(pause)

    def _run(self) -> int:
        """Start the uploader, wait for its end and return its status."""
        hand_out(self._paths)
        # A killed uploader leaves its socket, and its reader waits until it is gone.
        UploaderClient(managed_machine.job_paths(self._paths).directory).socket.unlink(missing_ok=True)
        uid, gid = uploader_user.owner(self._paths)
        kept = self._listening()
        with Pulse(CREDENTIALS.with_name("notify"), (uid, gid)) as pulse:
            self._process = process.start(
                self._command,
                environ={
                    **process.inherited(),
                    **pulse.environment,
                    **launch.passed_on(kept),
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
        """The descriptor of the reader's socket. None where the port is taken: the uploader then tries it itself."""
        record = managed_machine.ManagedMachine.load(self._paths)
        port = record.reader.port if record and record.reader else 0
        if self._socket and self._socket.getsockname()[1] != port:
            self._socket.close()
            self._socket = None
        if port and not self._socket:
            try:
                self._socket = launch.listen(port)
            except OSError as error:
                log_line(f"port {port}, where Nix reads the cache: {error.strerror}")
        return [self._socket.fileno()] if self._socket else []

    def _watch(self, running: process.Process, pulse: Pulse) -> int:
        """Wait for the uploader's end, kill it if it hangs, and return its status."""
        asked = 0.0
        while True:
            if self._ended or self._asked:
                running.terminate()
                asked = asked or time.monotonic()
            if pulse.lost() or (asked and time.monotonic() - asked > _PATIENCE / 2):
                log_line("the uploader does not answer any more; it is killed")
                running.kill()
            with suppress(process.TimeoutExpired):
                status = running.wait(_POLL)
                with suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)  # with what it started
                return status
            with suppress(OSError):  # its log may be gone, or the disk full
                uploader_log.shorten(uploader_log.path(self._paths))

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ended = True
        self._again(number, frame)

    def _again(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if self._process:
            self._process.terminate()


def _lock(paths: Paths) -> Path:
    return paths.state / "keeper.lock"


def _pid(paths: Paths) -> int:
    """0 when it does not run."""
    return int(text_of_holder(_lock(paths)) or 0)


def main(command: list[str]) -> int:
    """Keep the uploader running until told to stop. Returns 1 when there is a keeper already."""
    os.umask(UMASK)
    paths = machine({})
    with alive(_lock(paths)) as file:
        if file is None:
            return 1
        file.write(str(os.getpid()))
        file.flush()
        _Keeper(command, paths).keep()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
