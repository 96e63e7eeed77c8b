"""The port where Nix reads the cache through the uploader, taken before Nix is told of it: nobody else can have it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from ..uploader.process.client import UploaderClient
from ..uploader.read_proxy import launch
from .context import Context
from .plan import SetupPlan
from .state import JobState


@contextmanager
def listening(context: Context, plan: SetupPlan) -> Iterator[launch.Placeholder | None]:
    """A socket that listens where Nix will read, until the proxy has it; None where Nix reads by itself."""
    if not plan.read_proxy:
        yield None
        return
    waiting = launch.Placeholder(_listen(context))
    try:
        yield waiting
    finally:
        waiting.end()


def _listen(context: Context) -> socket.socket:
    """A set-up that is repeated keeps the port."""
    earlier = JobState.load(context.job.setup)
    if not (earlier and earlier.reader_port):
        return launch.listen(0)
    UploaderClient(context.job.directory).stop()  # its proxy has the port
    try:
        return launch.listen(earlier.reader_port)
    except OSError as error:
        context.host.info(f"port {earlier.reader_port}, where Nix read the cache: {error.strerror}; taking another")
        return launch.listen(0)
