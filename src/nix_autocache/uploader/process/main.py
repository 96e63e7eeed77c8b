"""The background uploader: drains the queue while the job builds, and answers on a Unix socket.

It reads its `UploadSpec`, key and credentials included, from standard input, and keeps it in memory that nobody may
dump. Three requests, a line of JSON each: status, flush, stop; the answers are lines too, the last has `done`.
Where it is a user of its own, the job's user may ask for all but the last.
"""

from __future__ import annotations

import dataclasses
import math
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from ...errors import CacheBusy, CredentialsError, Error, RunnerError, as_error, one_line
from ...system import log, memory, watchdog
from ...system.files import UMASK
from ..drain import Drain
from ..progress import Progress
from ..read_proxy.launch import reading
from ..retry import retrying
from ..spec import UploadSpec
from .server import ControlServer, listen, send

_EVERYBODY: Final = range(1 << 32)  # every number that a user can have
_LONGEST: Final = 86400.0  # seconds that a flush may be asked for
_LOOK: Final = 5.0  # seconds that AWS has for credentials and key, and the cache to show whether it can be used
_YIELD: Final = 1.0  # seconds for an uploader that was told to stop
_FORGOTTEN: Final = 24 * 3600.0  # seconds with nothing queued and no flush: the job was killed and cannot end us


def main(socket_path: Path, owner: int, listening: int | None = None) -> int:
    """Run the job that standard input brings; if it ends without one, the job may not push after all.

    `listening` is the descriptor of the reader's socket.
    """
    memory.protect_memory()
    os.umask(UMASK)
    text = sys.stdin.readline()
    if not text:
        return 0
    return run(UploadSpec.from_json(text), socket_path, owner, listening)


def run(job: UploadSpec, socket_path: Path, owner: int | None, listening: int | None = None) -> int:
    """Run until told to stop, or until another uploader holds this queue.

    `owner` is the job's user, whom it answers beside root and itself; None stands for everybody.
    """
    with job.open_queue().lock(_YIELD) as held:
        if not held:
            print("another uploader has this queue", file=sys.stderr)
            return 0
        with reading(job, socket_path, listening):
            os.environ.update(job.environ)  # boto3 and obstore look there; /proc shows only how we were started
            _lower_priority()
            _serve(job, socket_path, owner)
    return 0


def _serve(job: UploadSpec, socket_path: Path, owner: int | None) -> None:
    listening = listen(socket_path, open_to_all=owner != os.geteuid())
    try:
        state = _State(job)
        server = ControlServer(listening, _EVERYBODY if owner is None else {0, os.geteuid(), owner}, state.answer)
        threading.Thread(target=server.serve, daemon=True).start()
        watchdog.begin(lambda: max(state.silence, server.silence))
        state.run()
    finally:  # the reader, and whoever asks, must see that we are gone
        socket_path.unlink(missing_ok=True)


class _State:
    """The drain, once there are credentials and a key for it, or the reason why there are not.

    It is `ready` when something can be said: there is the one or the other, or AWS was busy when it was asked.
    """

    def __init__(self, job: UploadSpec) -> None:
        self._job = job
        self._drain: Drain | None = None
        self._error: Error | None = None
        self._trouble = ""
        self._public_key = ""
        self._ready = threading.Event()
        self._opened = threading.Event()
        self._stop = threading.Event()

    def run(self) -> None:
        if not self._job.maintenance_interval:
            threading.Thread(target=self._end_when_forgotten, daemon=True).start()
        try:
            self._drain = retrying(self._open, self._stop, longest=math.inf, tell=self._note_trouble)
        except Exception as error:
            if not isinstance(error, Error):
                log.exception()
            self._error = as_error(error)
        self._opened.set()
        self._ready.set()
        if self._drain and not self._stop.is_set():
            self._drain.run()
            self._error = CredentialsError(self._drain.refused) if self._drain.refused else None
        if self._error:
            # One that is to run for months ends, and is started again.
            self._stop.wait(self._job.maintenance_interval or None)

    @property
    def silence(self) -> float:
        """Seconds since the drain last looked for something to do, if it runs."""
        return self._drain.silence if self._drain else 0.0

    def _open(self) -> Drain:
        key = self._job.secret_key
        self._public_key = str(key.public) if key else ""
        return self._job.drain(self._job.pusher())

    def _note_trouble(self, error: CacheBusy) -> None:
        self._trouble = one_line(error)
        self._ready.set()

    def answer(self, client: socket.socket, request: dict[str, Any], peer: int) -> None:
        """From any thread, to a user who may ask: status, flush, stop, and status for all else.

        Raises what nonsense in the request raises.
        """
        if request["do"] == "stop":
            if peer not in {0, os.geteuid()}:
                self._refuse(client)
                return
            self._end()
        if not self._ready.wait(_LOOK):
            self._trouble = self._trouble or "AWS has not answered yet"
        dry = False
        if request["do"] == "flush":
            deadline = time.monotonic() + min(_LONGEST, float(request["seconds"]))
            self._await_drain(deadline, client)
            if self._drain:
                dry = self._drain.flush(deadline, lambda progress: send(client, _progress(progress)))
        error = self._problem(_LOOK if request["do"] == "status" else 0)
        last = {"error": one_line(error) if error else "", "exit_code": error.exit_code if error else 0}
        told = {**_progress(self._how_far()), "public_key": self._public_key}
        send(client, {**told, "done": True, "dry": dry, **last})

    def _refuse(self, client: socket.socket) -> None:
        last = {"error": "only root ends this uploader", "exit_code": RunnerError.exit_code}
        send(client, {**_progress(self._how_far()), "public_key": "", "done": True, "dry": False, **last})

    def _await_drain(self, deadline: float, client: socket.socket) -> None:
        """Wait for what AWS has to give first, with a word of progress every second."""
        while not self._opened.wait(min(1.0, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                return
            send(client, _progress(self._how_far()))

    def _how_far(self) -> Progress:
        if self._drain:
            return self._drain.progress()
        try:
            waiting = sum(1 for _ in self._job.open_queue().names())
        except OSError as error:
            return Progress(counts={}, pushed_bytes=0, waiting=0, trouble=one_line(error))
        return Progress(counts={}, pushed_bytes=0, waiting=waiting, trouble=self._trouble)

    def _problem(self, patience: float) -> Error | None:
        """Why nothing can be pushed at all; a cache that only does not answer may yet be there when it is needed."""
        try:
            if self._drain:
                self._drain.usable(patience)
        except CacheBusy:
            return self._error
        except Error as error:
            return error
        return self._error

    def _end_when_forgotten(self) -> None:
        begun, idle = time.monotonic(), 0.0
        while not self._stop.wait(_FORGOTTEN - idle):
            idle = self._drain.idle if self._drain else time.monotonic() - begun
            if idle >= _FORGOTTEN:
                self._end()

    def _end(self) -> None:
        self._stop.set()
        if self._drain:
            self._drain.end()


def _progress(progress: Progress) -> dict[str, Any]:
    return dataclasses.asdict(progress)


def _lower_priority() -> None:
    """Let the builds have the processor first: we only use what they leave."""
    os.nice(19)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else None))
