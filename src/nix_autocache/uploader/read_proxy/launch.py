"""The cache as this machine's Nix reads it where only the job has the credentials: by HTTP on 127.0.0.1.

Without it a nix-daemon could not read a private bucket, whose credentials are the job's; nor could any Nix what only
we know how to read. What answers there is `reader`, a process beside the uploader.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ...system import log, process
from ..spec import UploadSpec

HOST: Final = "127.0.0.1"
LISTENING: Final = "NIX_AUTOCACHE_LISTENING"  # the variable that names a descriptor which is handed on
_BACKLOG: Final = 512  # connections that wait to be accepted
_NOTHING: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_HEAD: Final = 64 << 10  # bytes at most, of what is asked
_LOOK: Final = 0.1  # seconds between looks whether the reader is there
_PATIENCE: Final = 1.0  # seconds for somebody to say what they ask
_PAUSE: Final = 0.1  # seconds before a reader that ended is started again, doubled each time
_LONGEST_PAUSE: Final = 30.0  # seconds
_END: Final = 5.0  # seconds for a reader to end


def free_port() -> int:
    """A port that nobody has now. Whoever takes it before us has no key, and so serves nothing that Nix trusts."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def listen(port: int) -> socket.socket:
    """A socket that listens there. The reader before this one may be about to end. Raises OSError."""
    give_up = time.monotonic() + _END
    while True:
        listening = socket.socket()
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((HOST, port))
            listening.listen(_BACKLOG)
            listening.setblocking(False)  # several processes may take connections from it
        except OSError:
            listening.close()
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return listening


def handed_on(descriptors: Sequence[int]) -> dict[str, str]:
    """What the environment of a process says of the socket that it is handed, if it is."""
    return {LISTENING: str(descriptors[0])} if descriptors else {}


def url(port: int) -> str:
    """What Nix is to read, instead of the cache's own URL."""
    return f"http://{HOST}:{port}"


def is_proxied(environ: Mapping[str, str]) -> bool:
    """Whether Nix would ask a proxy for what is on this machine; as curl has it, which reads no HTTP_PROXY."""
    exempt = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").replace(",", " ").split()
    return bool(environ.get("http_proxy")) and not {"*", HOST}.intersection(exempt)


class Waiting:
    """The socket of a reader that is still to be started, taken before Nix is told of its port.

    Until then whatever is asked there is not in the cache: nobody waits, and nobody else can be who answers.
    """

    def __init__(self, listening: socket.socket) -> None:
        self.port = int(listening.getsockname()[1])
        self.descriptor = listening.fileno()
        self._listening = listening
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._answer, name="waiting", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """The reader has the socket by now, or never will. May be called again."""
        self._ended.set()
        self._thread.join()
        self._listening.close()

    def _answer(self) -> None:
        while not self._ended.is_set():
            with suppress(OSError):
                if not select.select([self._listening], [], [], _LOOK)[0]:
                    continue
                connection, _ = self._listening.accept()  # unless the reader was faster
                with connection:
                    connection.settimeout(_PATIENCE)
                    connection.recv(_HEAD)
                    connection.sendall(_NOTHING)


@contextmanager
def reading(job: UploadSpec, uploader: Path, listening: int | None) -> Iterator[None]:
    """While the block runs, the reader answers, if the job wants one; it has the environment and priority of now.

    `listening` is the descriptor of its socket, where that was taken before. One that ends is started again. It ends
    when this process does and `uploader`, its socket, is gone: an uploader that was killed leaves that there, and Nix
    must be answered all the same, since some versions of it give up with a substituter that is gone.
    """
    if not job.reader_port:
        yield
        return
    reader = _Reader(job, uploader, listening)
    try:
        yield
    finally:
        reader.end()


class _Reader:
    """The process of the reader, started at once, and again when it ends."""

    def __init__(self, job: UploadSpec, uploader: Path, listening: int | None) -> None:
        self._job = job.without_key()
        self._uploader = uploader
        self._environ = dict(os.environ)
        self._socket = socket.socket(fileno=listening) if listening is not None else None
        self._process: process.Process | None = None
        self._ended = threading.Event()
        self._start()
        threading.Thread(target=self._keep, name="reader", daemon=True).start()

    def _start(self) -> None:
        """A port that somebody else has is tried again with the next start."""
        self._process = None
        try:
            self._socket = self._socket or listen(self._job.reader_port)
            descriptor = self._socket.fileno()
            begun = process.start(
                [sys.executable, "-sSP", "-m", f"{__package__}.main", str(self._uploader), str(descriptor)],
                environ=self._environ,
                given=process.PIPE,
                output=1,
                errors=2,
                pass_fds=[descriptor],
            )
            assert begun.stdin, "it is a pipe"
            self._process = begun
            begun.stdin.write(self._job.to_json().encode() + b"\n")
            begun.stdin.flush()
        except OSError as error:
            log.line(f"Nix cannot read the cache at {HOST}:{self._job.reader_port}: {error.strerror or error}")

    def _keep(self) -> None:
        pause = _PAUSE
        while not self._ended.is_set():
            begun = time.monotonic()
            status = self._process.wait() if self._process else None
            if self._ended.is_set():
                return
            if status is not None:
                log.line(f"the reader ended with status {status}; it is started again")
            pause = _PAUSE if time.monotonic() - begun > _LONGEST_PAUSE else min(2 * pause, _LONGEST_PAUSE)
            if not self._ended.wait(pause):
                self._start()

    def end(self) -> None:
        """Wait for its end, which it comes to when our socket is gone; where that cannot be removed, end it."""
        self._ended.set()
        if self._process is None:
            return
        assert self._process.stdin, "it is a pipe"
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_END)
        except process.TimeoutExpired:
            self._process.kill()
