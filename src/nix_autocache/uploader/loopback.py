"""The cache as this machine's Nix reads it where only the job has the credentials: by HTTP on 127.0.0.1.

Without it a nix-daemon could not read a private bucket, whose credentials are the job's; nor could any Nix what only
we know how to read. What answers there is `reader`, a process beside the uploader.
"""

from __future__ import annotations

import dataclasses
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ..system import process
from .job import Job

HOST: Final = "127.0.0.1"
_BACKLOG: Final = 512  # connections that wait to be accepted
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
        except OSError:
            listening.close()
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return listening


def url(port: int) -> str:
    """What Nix is to read, instead of the cache's own URL."""
    return f"http://{HOST}:{port}"


def is_proxied(environ: Mapping[str, str]) -> bool:
    """Whether Nix would ask a proxy for what is on this machine; as curl has it, which reads no HTTP_PROXY."""
    exempt = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").replace(",", " ").split()
    return bool(environ.get("http_proxy")) and not {"*", HOST}.intersection(exempt)


@contextmanager
def reading(job: Job, uploader: Path) -> Iterator[None]:
    """While the block runs, the reader answers, if the job wants one; it has the environment and priority of now.

    It ends when this process does and `uploader`, its socket, is gone: an uploader that was killed leaves that there,
    and Nix must be answered all the same, since some versions of it give up with a substituter that is gone.
    """
    if not job.reader_port:
        yield
        return
    command = [sys.executable, "-sSP", "-m", f"{__package__}.reader", str(uploader)]
    with process.start(command, given=process.PIPE, output=1, errors=2) as reader:
        assert reader.stdin, "it is a pipe"
        try:
            reader.stdin.write(dataclasses.replace(job, key="").to_json().encode() + b"\n")
            reader.stdin.flush()
            yield
        finally:
            _end(reader)


def _end(reader: process.Process) -> None:
    """Wait for its end, which it comes to when our socket is gone; where that cannot be removed, end it."""
    assert reader.stdin, "it is a pipe"
    with suppress(OSError):
        reader.stdin.close()
    try:
        reader.wait(_END)
    except process.TimeoutExpired:
        reader.kill()
