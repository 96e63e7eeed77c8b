"""Starting the background uploader, and talking to it from `setup`, `status` and `flush`."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import Error
from .job import Job
from .progress import Progress
from .sockets import at

_PROGRESS: Final = [field.name for field in dataclasses.fields(Progress)]
_LAST: Final = ("dry", "error", "exit_code", "public_key")
_START: Final = 20.0  # seconds until a new uploader must listen
_STOP: Final = 5.0  # seconds for it to end
_GRACE: Final = 2.0  # seconds after a deadline for the last word
_SILENCE: Final = 10.0  # seconds without a word, after which an uploader is as good as dead


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The uploader's last word on a request. `error` says why it cannot push at all, if it cannot."""

    progress: Progress
    dry: bool
    error: str
    exit_code: int
    public_key: str


@dataclass(frozen=True)
class Uploader:
    """The uploader of one job directory: its socket, its log."""

    directory: Path

    @property
    def socket(self) -> Path:
        return self.directory / "uploader.sock"

    @property
    def log(self) -> Path:
        return self.directory / "uploader.log"

    def start(self, job: Job) -> subprocess.Popen[str]:
        """Start it in the background, in a session of its own. `status` waits until it is there."""
        environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONPYCACHEPREFIX": sys.pycache_prefix or "",
            **job.public_environment,
        }
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-sP", "-m", f"{__package__}.daemon", str(self.socket)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment,
                start_new_session=True,
                text=True,
            )
        assert process.stdin
        process.stdin.write(job.to_json() + "\n")
        process.stdin.close()
        return process

    def wait_ready(self, process: subprocess.Popen[str]) -> Answer:
        """Its first status, when it looked at the cache. Raises Error with its log's last line if it died."""
        deadline = time.monotonic() + _START
        while process.poll() is None and time.monotonic() < deadline:
            if answer := self.ask({"do": "status"}):
                return answer
            time.sleep(0.005)
        lines = self.log.read_text(errors="replace").strip().splitlines()
        raise Error(f"the uploader did not start: {lines[-1] if lines else 'it said nothing'} (see {self.log})")

    def ask(self, request: dict[str, Any], tell: Callable[[Progress], None] = lambda _: None) -> Answer | None:
        """Its answer, or None when no uploader is there that answers. Calls `tell` with each word of progress.

        Never takes longer than the request's `seconds` and a moment.
        """
        with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(min(_SILENCE, request.get("seconds", _SILENCE) + _GRACE))
            with at(self.socket) as address:
                connection.connect(address)
            connection.sendall(json.dumps(request).encode() + b"\n")
            for message in _messages(connection):
                progress = Progress(**{name: message[name] for name in _PROGRESS})
                if "done" in message:
                    return Answer(progress=progress, **{name: message[name] for name in _LAST})
                tell(progress)
        return None

    def stop(self) -> bool:
        """Stop it, if it is there; whether it is gone."""
        if self.ask({"do": "stop"}) is None:
            return True
        deadline = time.monotonic() + _STOP
        while self.socket.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        return not self.socket.exists()


def _messages(connection: socket.socket) -> Iterator[dict[str, Any]]:
    with connection.makefile("rb") as lines:
        for line in lines:
            yield json.loads(line)
