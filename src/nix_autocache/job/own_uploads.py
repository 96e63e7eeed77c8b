"""The uploads of a job: allowed or not, started, waited for, and ended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ..errors import Error, InputError, one_line
from ..nix import effective
from ..nix.store import Nix, Store
from ..queue import hook, scan
from ..queue.directory import Queue
from ..queue.outcomes import Outcome
from ..system.descriptors import offered
from ..uploader.foreground import drain_here
from ..uploader.process.client import Started, UploaderClient
from ..uploader.progress import FlushResult
from ..uploader.read_proxy import launch
from ..uploader.spec import UploadSpec
from . import report, store_scan, upload_spec
from .context import Context
from .destination import Destination
from .state import JobState

_OTHER: Final = ("NIX_STORE_DIR", "NIX_REMOTE")  # variables that name another store


def start(
    context: Context, state: JobState, place: Destination, waiting: launch.Waiting | None
) -> tuple[JobState, Started]:
    """Start the uploader and build the canary meanwhile. One that is apart gets no job yet.

    Raises Error when that cannot be.
    """
    from ..machine import root  # here, since a step that only uploads starts faster without

    nix, uploader = Nix(Path(state.nix_bin)), UploaderClient(context.job.directory)
    state = replace(state, dry_run=context.is_dry_run(place))
    if not uploader.stop():
        raise Error(f"the uploader of an earlier setup does not end (see {uploader.log})")
    if state.apart:
        request = {"job": context.job_name, "owner": os.geteuid(), "packages": [str(_packages())]}
        with offered(waiting.descriptor) if waiting else nullcontext("") as socket_at:
            started = root.start_uploader({**request, "listening": socket_at}, context.environ)
    else:
        job = upload_spec.upload_job(context, nix, place, context.job.queue, state.began)
        listening = waiting.descriptor if waiting else None
        started = uploader.start(replace(job, reader_port=state.reader_port), listening)
    try:
        return _watch(context, state, nix), started
    except BaseException:
        started.end()  # it may not listen yet
        raise


def hand_over(context: Context, state: JobState, place: Destination, started: Started) -> tuple[JobState, Destination]:
    """Give an uploader that is apart its job, and wait for its word; a state that does not push if it cannot, and
    the destination with the public half of a key that only the uploader has.

    Raises InputError, or Error under `on-upload-failure: fail`, instead.
    """
    uploader = UploaderClient(context.job.directory)
    if not state.push:
        started.end()
        return state, place
    try:
        if state.apart:
            started.feed(_apart(context, state, place))
        answer = uploader.wait_ready(started)
    except BaseException:
        started.end()
        raise
    if not answer.error:
        if answer.progress.trouble and state.dry_run:
            context.host.info(f"dry run: the cache: {answer.progress.trouble}; Nix does not read it either")
            return replace(state, unread=True), place
        if answer.progress.trouble:
            context.host.warning(f"uploads wait for the cache: {answer.progress.trouble}")
        if doubts := place.doubts(answer.public_key):
            context.host.warning(doubts)
        return state, place.trusting(answer.public_key)
    uploader.stop()
    if answer.exit_code == InputError.exit_code:
        raise InputError(answer.error)
    if context.settings.on_upload_failure == "fail":
        raise Error(answer.error)
    context.host.warning(f"not pushing: {answer.error}")
    return state.only_pulling(answer.error), place


def _watch(context: Context, state: JobState, nix: Nix) -> JobState:
    """See that the hook fires, and note what is in the store, to find at the end what no hook told of."""
    if not state.scan:
        canary = hook.try_canary(nix, context.job.queue, context.environ)
        if canary.elsewhere:
            reason = f"Nix builds into another store ({_store(nix, context)}), and only paths of /nix/store are pushed"
            context.host.warning(f"not pushing: {reason}")
            return state.only_pulling(reason)
        if not canary.heard:
            reason = canary.error or "Nix did not call the post-build hook"
            if state.apart:  # whose queue only root and the hook can write
                context.host.warning(f"not pushing: {reason}")
                return state.only_pulling(reason)
            context.host.warning(f"{reason}; what is new in the store is looked for at the end of the job instead")
            state = state.scanning(reason)
    scan.snapshot(nix, context.job.store_before)
    return state


def _store(nix: Nix, context: Context) -> str:
    """The store that Nix uses, in its own word."""
    named = effective.of_client(nix, context.environ).get("store", "")
    return next((f"{name}={value}" for name in _OTHER if (value := context.environ.get(name))), f"store = {named}")


def _apart(context: Context, state: JobState, place: Destination) -> UploadSpec:
    nix, queue = Nix(Path(state.nix_bin)), context.job.queue
    return replace(upload_spec.job_apart(context, nix, place, queue, state.began), reader_port=state.reader_port)


def _packages() -> Path:
    """The directory of the packages that this process has imported from."""
    found = find_spec("nacl")
    assert found, "what pushes has its packages"
    assert found.origin, "it is a package with files"
    return Path(found.origin).parents[1]


def queue(context: Context) -> Queue:
    return context.job.queue


def uploader(context: Context) -> UploaderClient:
    return UploaderClient(context.job.directory)


def outcomes(context: Context) -> Iterable[Outcome]:
    """What became of everything that was queued for this job."""
    return context.job.queue.outcomes.recorded()


def drain(context: Context, state: JobState, deadline: float) -> FlushResult:
    """Let the uploader empty the queue, or do it here when none lives that can."""
    try:
        store_scan.queue_new(context, state)
    except (Error, OSError) as error:
        context.host.warning(f"the store was not looked through for what the hook missed: {one_line(error)}")
    tell = report.ProgressLines(context.host)
    uploader = UploaderClient(context.job.directory)
    answer = uploader.flush(deadline - time.monotonic(), tell)
    if answer and not answer.error:
        return answer.progress.result(drained=answer.drained, dry_run=state.dry_run)
    if state.apart:
        why = answer.error if answer else "the uploader is gone, and nobody else has the key"
        return FlushResult.of_queue(context.job.queue, why)
    context.host.info(f"{answer.error if answer else 'no uploader is alive'}; uploading from here")
    if answer:
        uploader.stop()  # this step's credentials may be newer than those it was given
    nix, queue = Nix(Path(state.nix_bin)), context.job.queue
    job = upload_spec.upload_job(context, nix, context.destination(), queue, state.began)
    try:
        context.host.mask(str(job.secret_key or ""))
        return drain_here(job, deadline, tell)
    except (Error, OSError) as error:
        return FlushResult.of_queue(context.job.queue, one_line(error))


def tidy(context: Context, state: JobState) -> None:
    """Keep an embedded cache that the host carries from job to job below its size; see `uploader/trim.py`."""
    from ..uploader import trim

    kept = context.host.embedded_cache()
    if not kept or not state.push or context.settings.cache or state.dry_run:
        return
    try:
        with Store(Nix(Path(state.nix_bin))) as store:
            removed = trim.trim(kept.cache, context.settings.cache_size * 10**6, store, state.began)
    except (Error, OSError) as error:
        context.host.warning(f"{kept.cache} was not trimmed: {one_line(error)}")
        return
    if removed:
        context.host.info(f"removed {removed} paths that were not used for longest from {kept.cache}")
