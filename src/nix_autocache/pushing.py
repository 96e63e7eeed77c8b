"""The uploads of a job: allowed or not, started, waited for, and ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from . import jobs, report, store_scan, trust
from .context import Context
from .destination import Destination
from .errors import Error, InputError, one_line
from .nix import effective
from .nix.store import Nix, Store
from .queue import hook, scan
from .queue.directory import Queue
from .queue.outcomes import Outcome
from .session import Session
from .system.descriptors import offered
from .uploader import loopback
from .uploader.client import Started, Uploader
from .uploader.foreground import drain_here
from .uploader.job import Job
from .uploader.progress import FlushResult

_OTHER: Final = ("NIX_STORE_DIR", "NIX_REMOTE")  # variables that name another store


def mask(context: Context, place: Destination) -> None:
    """Keep out of the log what is secret before anything is read; the key is masked when it is."""
    for secret in place.url.secrets:
        context.host.mask(secret)
    if identity := context.identity:
        context.host.mask(identity.bearer or identity.token)


def judge(context: Context, place: Destination, exposures: Sequence[str]) -> trust.Verdict:
    """Whether a job with these exposures may push."""
    lacks = "" if context.is_dry_run(place) else context.lacks(place)
    return trust.judge(context.host.event(), exposures, context.settings.push, lacks=lacks)


@contextmanager
def reader_socket(context: Context, place: Destination, verdict: trust.Verdict) -> Iterator[loopback.Waiting | None]:
    """The socket where Nix is to read the cache by way of the uploader, where that reads it better than Nix itself.

    It listens before Nix is told of it, so that nobody else can. A set-up that is repeated keeps the port.
    """
    if not _is_read_for_nix(context, place, verdict):
        yield None
        return
    waiting = loopback.Waiting(_listening(context))
    try:
        yield waiting
    finally:
        waiting.end()


def _is_read_for_nix(context: Context, place: Destination, verdict: trust.Verdict) -> bool:
    if not (verdict.push and place.url.needs_reader and not place.unsigned) or context.is_dry_run(place):
        return False
    if loopback.is_proxied(context.environ):
        context.host.info("http_proxy is set, and no_proxy lacks 127.0.0.1: Nix reads the cache by itself")
        return False
    return True


def _listening(context: Context) -> socket.socket:
    earlier = Session.load(context.job.setup)
    if not (earlier and earlier.reader_port):
        return loopback.listen(0)
    Uploader(context.job.directory).stop()  # its reader has the port
    try:
        return loopback.listen(earlier.reader_port)
    except OSError as error:
        context.host.info(f"port {earlier.reader_port}, where Nix read the cache: {error.strerror}; taking another")
        return loopback.listen(0)


def announce(context: Context, place: Destination, verdict: trust.Verdict) -> None:
    """Say in the log what must be known of the verdict."""
    if verdict.warning:
        context.host.warning(verdict.warning)
    if not verdict.push:
        context.host.notice(f"pull only: {verdict.reason}")
    if verdict.push and place.embedded and context.host.ephemeral:
        context.host.warning(f"{place.url} goes away with this machine; set `cache` to keep what is built")


def start(
    context: Context, session: Session, place: Destination, waiting: loopback.Waiting | None
) -> tuple[Session, Started]:
    """Start the uploader and build the canary meanwhile. One that is apart gets no job yet.

    Raises Error when that cannot be.
    """
    from . import privileged  # here, since a step that only uploads starts faster without

    nix, uploader = Nix(Path(session.nix_bin)), Uploader(context.job.directory)
    session = replace(session, dry_run=context.is_dry_run(place))
    if not uploader.stop():
        raise Error(f"the uploader of an earlier setup does not end (see {uploader.log})")
    if session.apart:
        request = {"job": context.job_name, "owner": os.geteuid(), "packages": [str(_packages())]}
        with offered(waiting.descriptor) if waiting else nullcontext("") as socket_at:
            started = privileged.start_uploader({**request, "listening": socket_at}, context.environ)
    else:
        job = jobs.upload_job(context, nix, place, context.job.queue, session.began)
        listening = waiting.descriptor if waiting else None
        started = uploader.start(replace(job, reader_port=session.reader_port), listening)
    try:
        return _watch(context, session, nix), started
    except BaseException:
        started.end()  # it may not listen yet
        raise


def hand_over(context: Context, session: Session, place: Destination, started: Started) -> tuple[Session, Destination]:
    """Give an uploader that is apart its job, and wait for its word; a session that does not push if it cannot, and
    the destination with the public half of a key that only the uploader has.

    Raises InputError, or Error under `on-upload-failure: fail`, instead.
    """
    uploader = Uploader(context.job.directory)
    if not session.push:
        started.end()
        return session, place
    try:
        if session.apart:
            started.feed(_apart(context, session, place))
        answer = uploader.wait_ready(started)
    except BaseException:
        started.end()
        raise
    if not answer.error:
        if answer.progress.trouble and session.dry_run:
            context.host.info(f"dry run: the cache: {answer.progress.trouble}; Nix does not read it either")
            return replace(session, unread=True), place
        if answer.progress.trouble:
            context.host.warning(f"uploads wait for the cache: {answer.progress.trouble}")
        if doubts := place.doubts(answer.public_key):
            context.host.warning(doubts)
        return session, place.trusting(answer.public_key)
    uploader.stop()
    if answer.exit_code == InputError.exit_code:
        raise InputError(answer.error)
    if context.settings.on_upload_failure == "fail":
        raise Error(answer.error)
    context.host.warning(f"not pushing: {answer.error}")
    return session.only_pulling(answer.error), place


def _watch(context: Context, session: Session, nix: Nix) -> Session:
    """See that the hook fires, and note what is in the store, to find at the end what no hook told of."""
    if not session.scan:
        canary = hook.try_canary(nix, context.job.queue, context.environ)
        if canary.elsewhere:
            reason = f"Nix builds into another store ({_store(nix, context)}), and only paths of /nix/store are pushed"
            context.host.warning(f"not pushing: {reason}")
            return session.only_pulling(reason)
        if not canary.heard:
            reason = canary.error or "Nix did not call the post-build hook"
            if session.apart:  # whose queue only root and the hook can write
                context.host.warning(f"not pushing: {reason}")
                return session.only_pulling(reason)
            context.host.warning(f"{reason}; what is new in the store is looked for at the end of the job instead")
            session = session.scanning(reason)
    scan.snapshot(nix, context.job.store_before)
    return session


def _store(nix: Nix, context: Context) -> str:
    """The store that Nix uses, in its own word."""
    named = effective.of_client(nix, context.environ).get("store", "")
    return next((f"{name}={value}" for name in _OTHER if (value := context.environ.get(name))), f"store = {named}")


def _apart(context: Context, session: Session, place: Destination) -> Job:
    nix, queue = Nix(Path(session.nix_bin)), context.job.queue
    return replace(jobs.job_apart(context, nix, place, queue, session.began), reader_port=session.reader_port)


def _packages() -> Path:
    """The directory of the packages that this process has imported from."""
    found = find_spec("nacl")
    assert found, "what pushes has its packages"
    assert found.origin, "it is a package with files"
    return Path(found.origin).parents[1]


def queue(context: Context) -> Queue:
    return context.job.queue


def uploader(context: Context) -> Uploader:
    return Uploader(context.job.directory)


def outcomes(context: Context) -> Iterable[Outcome]:
    """What became of everything that was queued for this job."""
    return context.job.queue.outcomes.recorded()


def drain(context: Context, session: Session, deadline: float) -> FlushResult:
    """Let the uploader empty the queue, or do it here when none lives that can."""
    try:
        store_scan.queue_new(context, session)
    except (Error, OSError) as error:
        context.host.warning(f"the store was not looked through for what the hook missed: {one_line(error)}")
    tell = report.ProgressLines(context.host)
    uploader = Uploader(context.job.directory)
    answer = uploader.ask({"do": "flush", "seconds": max(0.0, deadline - time.monotonic())}, tell)
    if answer and not answer.error:
        return answer.progress.result(drained=answer.dry, dry_run=session.dry_run)
    if session.apart:
        why = answer.error if answer else "the uploader is gone, and nobody else has the key"
        return FlushResult.of_queue(context.job.queue, why)
    context.host.info(f"{answer.error if answer else 'no uploader is alive'}; uploading from here")
    if answer:
        uploader.stop()  # this step's credentials may be newer than those it was given
    nix, queue = Nix(Path(session.nix_bin)), context.job.queue
    job = jobs.upload_job(context, nix, context.destination(), queue, session.began)
    try:
        context.host.mask(str(job.secret_key or ""))
        return drain_here(job, deadline, tell)
    except (Error, OSError) as error:
        return FlushResult.of_queue(context.job.queue, one_line(error))


def tidy(context: Context, session: Session) -> None:
    """Keep an embedded cache that the host carries from job to job below its size; see `uploader/trim.py`."""
    from .uploader import trim

    kept = context.host.embedded_cache()
    if not kept or not session.push or context.settings.cache or session.dry_run:
        return
    try:
        with Store(Nix(Path(session.nix_bin))) as store:
            removed = trim.trim(kept.cache, context.settings.cache_size * 10**6, store, session.began)
    except (Error, OSError) as error:
        context.host.warning(f"{kept.cache} was not trimmed: {one_line(error)}")
        return
    if removed:
        context.host.info(f"removed {removed} paths that were not used for longest from {kept.cache}")
