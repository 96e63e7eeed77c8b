"""Starting the background uploader, and talking to it from `setup`, `status` and `flush`."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...errors import Error, RunnerError
from ...system import process
from ...system.files import open_to_append
from ...system.process import Account, Process
from ...system.sockets import at
from ..progress import Progress
from ..spec import UploadSpec

_PROGRESS: Final = [field.name for field in dataclasses.fields(Progress)]
_LAST: Final = ("dry", "error", "exit_code", "public_key")
_START: Final = 20.0  # seconds until a new uploader must listen
_STOP: Final = 5.0  # seconds for it to end
_GRACE: Final = 2.0  # seconds after a deadline for the last word
_LONGEST: Final = 1 << 20  # bytes of a line
_SILENCE: Final = 10.0  # seconds without a word, after which an uploader is as good as dead


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The uploader's last word on a request. `error` says why it cannot push at all, if it cannot."""

    progress: Progress
    dry: bool
    error: str
    exit_code: int
    public_key: str


@dataclass(frozen=True)
class Started:
    """An uploader that was just started, by its process: ours, or that of the sudo which started it apart."""

    process: Process
    apart: int = 0
    """Its number, where it is not the process itself."""

    def feed(self, job: UploadSpec) -> None:
        """Give it its job, which it waits for."""
        assert self.process.stdin, "it is a pipe"
        with suppress(BrokenPipeError):  # `wait_ready` says what became of it
            self.process.stdin.write(job.to_json().encode() + b"\n")
        self.dismiss()

    def dismiss(self) -> None:
        """Tell it that there is nothing more to come: without a job it ends."""
        assert self.process.stdin, "it is a pipe"
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def lives(self) -> bool:
        return Path(f"/proc/{self.apart}").exists() if self.apart else self.process.poll() is None

    def end(self) -> None:
        """End one that may not listen yet; one that is another user's ends without a job."""
        self.dismiss()
        if not self.apart:
            self.process.kill()


@dataclass(frozen=True)
class UploaderClient:
    """The uploader of one job directory: its socket, its log."""

    directory: Path

    @property
    def socket(self) -> Path:
        return self.directory / "uploader.sock"

    @property
    def log(self) -> Path:
        return self.directory / "uploader.log"

    def start(self, job: UploadSpec, listening: int | None = None) -> Started:
        """Start it in the background, in a session of its own, and give it its job. `wait_ready` waits for it.

        `listening` is the descriptor of the socket where its reader is to answer.
        """
        environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONPYCACHEPREFIX": sys.pycache_prefix or "",
            **job.public_environment,
        }
        started = Started(self.begin(environment, os.geteuid(), process.PIPE, listening))
        started.feed(job)
        return started

    def begin(
        self,
        environment: Mapping[str, str],
        owner: int,
        stdin: int,
        listening: int | None,
        account: Account | None = None,
    ) -> Process:
        """A process that waits for its job on `stdin`; `owner` is whom it answers, `account` whom it runs as."""
        kept = [listening] if listening is not None else []
        with open_to_append(self.log, 0o644) as log:
            return process.start(
                [sys.executable, "-sSP", "-m", f"{__package__}.main", str(self.socket), str(owner), *map(str, kept)],
                environ={"PATH": os.defpath, "LANG": "C.UTF-8", **environment},
                given=stdin,
                output=log,
                account=account,
                session=True,
                pass_fds=kept,
            )

    def wait_ready(self, started: Started) -> Reply:
        """Its first status, when it looked at the cache. Raises Error with its log's last line if it died."""
        deadline = time.monotonic() + _START
        while started.lives() and time.monotonic() < deadline:
            if answer := self.ask({"do": "status"}):
                return answer
            time.sleep(0.005)
        lines = []
        with suppress(OSError):
            lines = self.log.read_text(errors="replace").strip().splitlines()
        raise Error(f"the uploader did not start: {lines[-1] if lines else 'it said nothing'} (see {self.log})")

    def ask(self, request: dict[str, Any], tell: Callable[[Progress], None] = lambda _: None) -> Reply | None:
        """Its answer, or None when no uploader is there that answers. Calls `tell` with each word of progress.

        Never takes longer than the request's `seconds` and a moment.
        """
        give_up = time.monotonic() + request.get("seconds", _SILENCE) + _SILENCE + _GRACE
        with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(min(_SILENCE, request.get("seconds", _SILENCE) + _GRACE))
            with at(self.socket) as address:
                connection.connect(address)
            connection.sendall(json.dumps(request).encode() + b"\n")
            for message in _messages(connection):
                if isinstance(message, Reply):
                    return message
                tell(message)
                if time.monotonic() > give_up:
                    break
        return None

    def stop(self) -> bool:
        """Stop it, if it is there; whether it is gone. One that is apart does not stop for the job's user."""
        answer = self.ask({"do": "stop"})
        if answer is None:
            with suppress(OSError):  # what only root may do, root does
                self.socket.unlink()  # of one that was killed; its reader waits for that
            return True
        if answer.exit_code == RunnerError.exit_code:
            return False
        return process.wait_until(lambda: not self.socket.exists(), _STOP, poll=0.005)


def _messages(connection: socket.socket) -> Iterator[Progress | Reply]:
    """What comes. Raises ValueError for what no uploader says: anybody may listen in the place of one that is gone."""
    with connection.makefile("rb") as lines:
        while line := lines.readline(_LONGEST):
            yield _message(line)


def _message(line: bytes) -> Progress | Reply:
    try:
        said = json.loads(line)
        progress = Progress(**{name: said[name] for name in _PROGRESS})
        counts = [*progress.counts.items(), *progress.unrecorded.items()]
        numbers = [*(number for _, number in counts), progress.pushed_bytes, progress.waiting]
        texts = [*(text for text, _ in counts), progress.trouble]
        last = {name: said[name] for name in _LAST} if "done" in said else {}
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("no uploader says that") from error
    if last:
        texts += [last["error"], last["public_key"]]
        numbers.append(last["exit_code"])
    if not all(isinstance(number, int) for number in numbers) or not all(isinstance(text, str) for text in texts):
        raise ValueError("no uploader says that")
    return Reply(progress=progress, **last) if last else progress
