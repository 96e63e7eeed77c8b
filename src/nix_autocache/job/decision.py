"""May this job push, and does Nix read its cache through us? Decided before anything is changed."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..trust import policy
from ..uploader.process.client import UploaderClient
from ..uploader.read_proxy import launch
from .context import Context
from .destination import Destination
from .state import JobState


def mask(context: Context, place: Destination) -> None:
    """Keep out of the log what is secret before anything is read; the key is masked when it is."""
    for secret in place.url.secrets:
        context.host.mask(secret)
    if identity := context.identity:
        context.host.mask(identity.bearer or identity.token)


def judge(context: Context, place: Destination, exposures: Sequence[str]) -> policy.Verdict:
    """Whether a job with these exposures may push."""
    lacks = "" if context.is_dry_run(place) else context.lacks(place)
    return policy.judge(context.host.event(), exposures, context.settings.push, lacks=lacks)


@contextmanager
def reader_socket(context: Context, place: Destination, verdict: policy.Verdict) -> Iterator[launch.Waiting | None]:
    """The socket where Nix is to read the cache by way of the uploader, where that reads it better than Nix itself.

    It listens before Nix is told of it, so that nobody else can. A set-up that is repeated keeps the port.
    """
    if not _is_read_for_nix(context, place, verdict):
        yield None
        return
    waiting = launch.Waiting(_listening(context))
    try:
        yield waiting
    finally:
        waiting.end()


def _is_read_for_nix(context: Context, place: Destination, verdict: policy.Verdict) -> bool:
    if not (verdict.push and place.url.needs_reader and not place.unsigned) or context.is_dry_run(place):
        return False
    if launch.is_proxied(context.environ):
        context.host.info("http_proxy is set, and no_proxy lacks 127.0.0.1: Nix reads the cache by itself")
        return False
    return True


def _listening(context: Context) -> socket.socket:
    earlier = JobState.load(context.job.setup)
    if not (earlier and earlier.reader_port):
        return launch.listen(0)
    UploaderClient(context.job.directory).stop()  # its reader has the port
    try:
        return launch.listen(earlier.reader_port)
    except OSError as error:
        context.host.info(f"port {earlier.reader_port}, where Nix read the cache: {error.strerror}; taking another")
        return launch.listen(0)


def announce(context: Context, place: Destination, verdict: policy.Verdict) -> None:
    """Say in the log what must be known of the verdict."""
    if verdict.warning:
        context.host.warning(verdict.warning)
    if not verdict.push:
        context.host.notice(f"pull only: {verdict.reason}")
    if verdict.push and place.embedded and context.host.ephemeral:
        context.host.warning(f"{place.url} goes away with this machine; set `cache` to keep what is built")
