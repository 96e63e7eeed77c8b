"""The port where Nix reads the cache through our proxy, taken before Nix is told of it: nobody else can have it."""

from __future__ import annotations

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
    waiting = _placeholder(context, keep_nonce=not plan.destination.unsigned)
    try:
        yield waiting
    finally:
        waiting.end()


def _placeholder(context: Context, *, keep_nonce: bool) -> launch.Placeholder:
    """A set-up that is repeated keeps the address. Nix remembers signatures by it, so another job key needs another."""
    earlier = JobState.load(context.job.setup)
    if not (earlier and earlier.reader):
        return launch.Placeholder(launch.listen(0))
    UploaderClient(context.job.directory).stop()  # its proxy has the port
    try:
        nonce = earlier.reader.nonce if keep_nonce else None
        return launch.Placeholder(launch.listen(earlier.reader.port), nonce)
    except OSError as error:
        context.host.info(f"port {earlier.reader.port}, where Nix read the cache: {error.strerror}; taking another")
        return launch.Placeholder(launch.listen(0))
