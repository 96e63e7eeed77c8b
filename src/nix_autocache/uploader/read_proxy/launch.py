"""Starts the read proxy: a process beside the uploader, through which Nix reads the cache over HTTP on 127.0.0.1.

It is faster than Nix reading by itself, and reads what Nix itself cannot: a private bucket, where only the job has
credentials and not the nix-daemon, and kinds of caches that Nix does not know. The port is taken before Nix is told of
it (`Placeholder`), and the socket is then handed on.
"""

from __future__ import annotations

import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ...system import log, process
from .. import spec_text
from .address import HOST, Address
from .spec import ReadSpec

LISTENING: Final = "NIX_AUTOCACHE_LISTENING"  # the variable with the descriptor of a socket that is passed on
_BACKLOG: Final = 512
_NOT_FOUND: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_MAX_REQUEST: Final = 64 << 10  # bytes
_POLL: Final = 0.1  # seconds
_TIMEOUT: Final = 1.0  # seconds for a client of the placeholder to send its request
_TUNABLES: Final = "glibc.pthread.stack_cache_size=0"  # the stack of a thread that has ended is given back
_PAUSE: Final = 0.1  # seconds before a restart, doubled each time
_LONGEST_PAUSE: Final = 30.0  # seconds
_END: Final = 5.0  # seconds for a read proxy to end


def free_port() -> int:
    """A port that is free now. Another process may take it before us, but without the key Nix trusts nothing of it."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def listen(port: int) -> socket.socket:
    """Listen on this port of the loopback; waits for an earlier read proxy to end. Raises OSError."""
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


def passed_on(descriptors: Sequence[int]) -> dict[str, str]:
    """The variable for a process that gets the socket; empty if there is none."""
    return {LISTENING: str(descriptors[0])} if descriptors else {}


class Placeholder:
    """Holds the port until the read proxy runs, and answers 404 so that no client waits. `nonce` is for the address; by
    default a new one."""

    def __init__(self, listening: socket.socket, nonce: str | None = None) -> None:
        port = int(listening.getsockname()[1])
        self.address = Address.fresh(port) if nonce is None else Address(port, nonce)
        self.descriptor = listening.fileno()
        self._listening = listening
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._answer, name="placeholder", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Close our copy of the socket. May be called again."""
        self._ended.set()
        self._thread.join()
        self._listening.close()

    def _answer(self) -> None:
        while not self._ended.is_set():
            with suppress(OSError):
                if not select.select([self._listening], [], [], _POLL)[0]:
                    continue
                connection, _ = self._listening.accept()  # raises if the read proxy was faster
                with connection:
                    connection.settimeout(_TIMEOUT)
                    connection.recv(_MAX_REQUEST)
                    connection.sendall(_NOT_FOUND)


@contextmanager
def running(
    spec: ReadSpec | None, uploader: Path, listening: int | None, hear: Callable[[bytes], None]
) -> Iterator[None]:
    """Run the read proxy during the block, if there is a spec for it; restarted whenever it ends.

    `hear` gets the lines of its reports. It has the environment and the priority that we have now. `listening` is the
    descriptor of its socket if the port is taken already. It ends when this process has ended and `uploader`, the
    uploader's socket, is gone. An uploader that was killed leaves its socket, so Nix is still answered: some versions
    abort when a substituter has gone.
    """
    if spec is None:
        yield
        return
    proxy = _ReadProxy(spec, uploader, listening, hear)
    try:
        yield
    finally:
        proxy.end()


class _ReadProxy:
    """The process, started at once and again when it ends."""

    def __init__(self, spec: ReadSpec, uploader: Path, listening: int | None, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._spec = spec
        self._uploader_socket = uploader
        self._environ = {"GLIBC_TUNABLES": _TUNABLES, **process.inherited()}
        self._socket = socket.socket(fileno=listening) if listening is not None else None
        self._process: process.Process | None = None
        self._ended = threading.Event()
        self._start()
        threading.Thread(target=self._keep, name="read proxy", daemon=True).start()

    def _start(self) -> None:
        """If the port is taken, the next start tries it again."""
        self._process = None
        try:
            self._socket = self._socket or listen(self._spec.address.port)
            descriptor = self._socket.fileno()
            begun = process.start(
                [sys.executable, "-sSP", "-m", f"{__package__}.main", str(self._uploader_socket), str(descriptor)],
                environ=self._environ,
                given=process.PIPE,
                output=process.PIPE,
                errors=2,
                pass_fds=[descriptor],
            )
            assert begun.stdin, "it is a pipe"
            self._process = begun
            begun.stdin.write(spec_text.line(self._spec))
            begun.stdin.flush()
            threading.Thread(target=self._listen, args=(begun,), name="reports", daemon=True).start()
        except OSError as error:
            log.line(f"Nix cannot read the cache at {HOST}:{self._spec.address.port}: {error.strerror or error}")

    def _listen(self, begun: process.Process) -> None:
        assert begun.stdout, "it is a pipe"
        for line in begun.stdout:
            self._hear(line)

    def _keep(self) -> None:
        pause = _PAUSE
        while not self._ended.is_set():
            begun = time.monotonic()
            status = self._process.wait() if self._process else None
            if self._ended.is_set():
                return
            if status is not None:
                log.line(f"the read proxy ended with status {status}; restarting it")
            pause = _PAUSE if time.monotonic() - begun > _LONGEST_PAUSE else min(2 * pause, _LONGEST_PAUSE)
            if not self._ended.wait(pause):
                self._start()

    def end(self) -> None:
        """Wait until it ends, as it does once our socket is gone; kill it if the socket could not be removed."""
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
