"""The background uploader's process: drains the queue while the job builds, and answers on a Unix socket.

In a job that only pulls it keeps the read proxy alive, and drains nothing. It reads its `ProcessSpec`, with key and
credentials, from standard input, and protects its memory against dumps.
Where it runs as another user, the job's user may ask for everything but its end.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...errors import Error, InputError, RunnerError, one_line
from ...system import log, memory, watchdog
from ...system.files import UMASK
from .. import spec_text
from ..nix_reading import NixReading
from ..read_proxy import launch
from .idle import IdleUploader
from .protocol import Flush, Reply, Request, Status, Stop, Unknown, answer_line
from .server import ControlServer, listen
from .spec import ProcessSpec

if TYPE_CHECKING:
    from ..spec import UploadSpec
    from .states import Uploader

_EVERYBODY: Final = range(1 << 32)  # every user id
_LOOK: Final = 5.0  # seconds for AWS to give credentials and key, and for the cache to show whether it can be used
_YIELD: Final = 1.0  # seconds for an uploader that was told to stop


def main(socket_path: Path, owner: int, listening: int | None = None) -> int:
    """Run the spec that standard input brings; without one, the job may not push after all.

    `listening` is the descriptor of the read proxy's socket.
    """
    memory.protect_memory()
    os.umask(UMASK)
    text = sys.stdin.readline()
    if not text:
        return 0
    return run(spec_text.parse(ProcessSpec, text), socket_path, owner, listening)


def run(spec: ProcessSpec, socket_path: Path, owner: int | None, listening: int | None = None) -> int:
    """Run until told to stop, or until another uploader holds this queue.

    `owner` is the job's user, who is answered beside root and our own user; None stands for everybody.
    """
    reading = NixReading()
    with ExitStack() as held:
        if spec.upload and not held.enter_context(spec.upload.open_queue().lock(_YIELD)):
            log.line("another uploader has this queue")
            return 0
        held.enter_context(launch.running(spec.reading, socket_path, listening, reading.hear))
        os.environ.update(spec.environ)  # boto3 and obstore look there; /proc shows only how we were started
        _lower_priority()
        _serve(spec.upload, socket_path, owner, reading)
    return 0


def _serve(spec: UploadSpec | None, socket_path: Path, owner: int | None, reading: NixReading) -> None:
    listening = listen(socket_path, open_to_all=owner != os.geteuid())
    try:
        requests = _Requests(_uploader(spec, reading))
        allowed = _EVERYBODY if owner is None else {0, os.geteuid(), owner}
        server = ControlServer(listening, allowed, requests.answer)
        threading.Thread(target=server.serve, daemon=True).start()
        watchdog.begin(lambda: max(requests.uploader.silence, server.silence), os.environ)
        requests.uploader.run()
    finally:  # the read proxy and the clients must see that we are gone
        socket_path.unlink(missing_ok=True)


def _uploader(spec: UploadSpec | None, reading: NixReading) -> Uploader | IdleUploader:
    if spec is None:
        return IdleUploader()
    from .states import Uploader  # with all that an upload needs

    return Uploader(spec, reading)


class _Requests:
    """Answers each request on its connection, from any thread; one method per verb."""

    def __init__(self, uploader: Uploader | IdleUploader) -> None:
        self.uploader = uploader

    def answer(self, client: socket.socket, request: Request, user: int) -> None:
        match request:
            case Status():
                self._status(client)
            case Flush(seconds):
                self._flush(client, seconds)
            case Stop():
                self._stop(client, user)
            case Unknown():
                self._refuse(client, InputError("this uploader knows status, flush and stop, and no such request"))

    def _status(self, client: socket.socket) -> None:
        self.uploader.wait_answerable(_LOOK)
        self._reply(client, self.uploader.error(_LOOK))

    def _flush(self, client: socket.socket, seconds: float) -> None:
        self.uploader.wait_answerable(_LOOK)
        deadline = time.monotonic() + seconds
        drained = self.uploader.flush(deadline, lambda progress: client.sendall(answer_line(progress)))
        self._reply(client, self.uploader.error(0.0), drained=drained)

    def _stop(self, client: socket.socket, user: int) -> None:
        if user not in {0, os.geteuid()}:
            self._refuse(client, RunnerError("only root ends this uploader"))
            return
        try:
            self._reply(client, None)
        finally:
            self.uploader.end()

    def _reply(self, client: socket.socket, error: Error | None, *, drained: bool = False) -> None:
        progress, key = self.uploader.progress(), self.uploader.public_key
        text, code = (one_line(error), error.exit_code) if error else ("", 0)
        reply = Reply(progress=progress, drained=drained, error=text, exit_code=code, public_key=key)
        client.sendall(answer_line(reply))

    def _refuse(self, client: socket.socket, error: Error) -> None:
        progress = self.uploader.progress()
        client.sendall(answer_line(Reply(progress=progress, error=one_line(error), exit_code=error.exit_code)))


def _lower_priority() -> None:
    """Let the builds have the processor first: we only use what they leave."""
    os.nice(19)
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else None))
