"""Starting the background uploader, and asking it for its status, a flush or its end."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...errors import Error, RunnerError
from ...system import process
from ...system.dataclass import dataclass
from ...system.files import open_to_append
from ...system.process import Account, Process
from ...system.sockets import at
from .. import spec_text
from ..environment import public_environment
from ..progress import Progress
from .protocol import MAX_ANSWER, Flush, Reply, Status, Stop, parse_answer, request_line
from .spec import ProcessSpec

_START: Final = 20.0  # seconds until a new uploader must listen
_STOP: Final = 5.0  # seconds for it to end
_GRACE: Final = 2.0  # seconds after a deadline for the reply
_SILENCE: Final = 10.0  # seconds without a line, after which an uploader counts as dead


@dataclass(frozen=True)
class Started:
    """An uploader that was just started: our own process, or a sudo whose child `pid` runs as another user."""

    process: Process
    pid: int = 0
    """0 where the uploader is `process` itself."""

    def feed(self, spec: ProcessSpec) -> None:
        """Send the spec that it waits for."""
        assert self.process.stdin, "it is a pipe"
        with suppress(BrokenPipeError):  # `wait_ready` will say why it ended
            self.process.stdin.write(spec_text.line(spec))
        self.dismiss()

    def dismiss(self) -> None:
        """Close its standard input: an uploader without a spec ends."""
        assert self.process.stdin, "it is a pipe"
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def lives(self) -> bool:
        return Path(f"/proc/{self.pid}").exists() if self.pid else self.process.poll() is None

    def end(self) -> None:
        """End it, although it may not listen yet. Another user's cannot be killed, but ends without a spec."""
        self.dismiss()
        if not self.pid:
            self.process.kill()


@dataclass(frozen=True)
class UploaderClient:
    """The uploader of one job directory: its socket and its log."""

    directory: Path

    @property
    def socket(self) -> Path:
        return self.directory / "uploader.sock"

    @property
    def log(self) -> Path:
        return self.directory / "uploader.log"

    def start(self, spec: ProcessSpec, listening: int | None = None) -> Started:
        """Start it in the background, in its own session, and send it the spec; then call `wait_ready`.

        `listening` is the descriptor of the read proxy's socket.
        """
        environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONPYCACHEPREFIX": sys.pycache_prefix or "",
            **public_environment(spec.environ),
        }
        started = Started(self.begin(environment, os.geteuid(), process.PIPE, listening))
        started.feed(spec)
        return started

    def begin(
        self,
        environment: Mapping[str, str],
        owner: int,
        stdin: int,
        listening: int | None,
        account: Account | None = None,
    ) -> Process:
        """Start a process that waits for its spec on `stdin`. It answers the user `owner` and runs as `account`."""
        descriptors = [listening] if listening is not None else []
        arguments = [str(self.socket), str(owner), *map(str, descriptors)]
        with open_to_append(self.log, 0o644) as log:
            return process.start(
                [sys.executable, "-sSP", "-m", f"{__package__}.main", *arguments],
                environ={"PATH": os.defpath, "LANG": "C.UTF-8", **environment},
                given=stdin,
                output=log,
                account=account,
                session=True,
                pass_fds=descriptors,
            )

    def wait_ready(self, started: Started) -> Reply:
        """Its first status, after it looked at the cache. Raises Error with its log's last line if it died."""
        deadline = time.monotonic() + _START
        while started.lives() and time.monotonic() < deadline:
            if reply := self.status():
                return reply
            time.sleep(0.005)
        lines = []
        with suppress(OSError):
            lines = self.log.read_text(errors="replace").strip().splitlines()
        raise Error(f"the uploader did not start: {lines[-1] if lines else 'it said nothing'} (see {self.log})")

    def status(self, tell: Callable[[Progress], None] = lambda _: None) -> Reply | None:
        """Its status, or None when no uploader answers there."""
        return self._ask(Status(), _SILENCE, tell)

    def flush(self, seconds: float, tell: Callable[[Progress], None] = lambda _: None) -> Reply | None:
        """Wait until everything queued by now is settled, or `seconds` have passed; None when no uploader answers.

        Calls `tell` with each line of progress. Returns a moment after `seconds` at the latest.
        """
        seconds = max(0.0, seconds)
        return self._ask(Flush(seconds), seconds, tell)

    def stop(self) -> bool:
        """Stop it, if it runs; True when it is gone. An uploader of another user does not stop for the job's user."""
        reply = self._ask(Stop(), _SILENCE)
        if reply is None:
            with suppress(OSError):  # only root may remove the socket of another user's uploader
                self.socket.unlink()  # a killed uploader leaves it; its read proxy waits until it is gone
            return True
        if reply.exit_code == RunnerError.exit_code:
            return False
        return process.wait_until(lambda: not self.socket.exists(), _STOP, poll=0.005)

    def _ask(
        self, request: Status | Flush | Stop, seconds: float, tell: Callable[[Progress], None] = lambda _: None
    ) -> Reply | None:
        give_up = time.monotonic() + seconds + _SILENCE + _GRACE
        with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(min(_SILENCE, seconds + _GRACE))
            with at(self.socket) as address:
                connection.connect(address)
            connection.sendall(request_line(request))
            for answer in _answers(connection):
                if isinstance(answer, Reply):
                    return answer
                tell(answer)
                if time.monotonic() > give_up:
                    break
        return None


def _answers(connection: socket.socket) -> Iterator[Progress | Reply]:
    with connection.makefile("rb") as lines:
        while line := lines.readline(MAX_ANSWER):
            yield parse_answer(line)
