"""A job's own uploads: its queue, its uploader, and what is done here when no uploader is alive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ..errors import Error, one_line
from ..nix.store_client import StoreClient
from ..queue.directory import Queue
from ..queue.outcomes import Outcome
from ..settings import GITLAB_CACHE_SIZE
from ..uploader.process.client import UploaderClient
from ..uploader.progress import FlushResult, Progress
from . import report, secrets, store_scan, upload_spec
from .context import Context
from .state import JobState


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
        context.host.warning(f"the store was not scanned for what the hook missed: {one_line(error)}")
    tell = report.ProgressLines(context.host)
    uploader = UploaderClient(context.job.directory)
    answer = uploader.flush(deadline - time.monotonic(), tell)
    if answer and not answer.error:
        return answer.progress.result(drained=answer.drained, dry_run=state.dry_run)
    if state.separate_user:
        why = answer.error if answer else "the uploader is gone, and nobody else has the key"
        return FlushResult.of_queue(context.job.queue, why)
    context = context.at(state.period)
    here = context.destination().url.without_secrets
    if here != state.cache:  # as in a step that cannot reach the host's own cache
        why = f"{state.cache} is not the cache of this step, which is {here}; the end of the job tries again"
        return FlushResult.of_queue(context.job.queue, why)
    context.host.info(f"{answer.error if answer else 'no uploader is alive'}; uploading from here")
    if answer:
        uploader.stop()  # this step's credentials may be newer than those it was given
    return _drain_here(context, state, deadline, tell)


def _drain_here(context: Context, state: JobState, deadline: float, tell: Callable[[Progress], None]) -> FlushResult:
    from ..uploader.foreground import drain_here  # most jobs have an uploader, and need none of it

    destination, queue = context.destination(), context.job.queue
    spec = upload_spec.of_job(context, state, destination, secrets.read(context, destination))
    try:
        context.host.mask(str(spec.secret_key or ""))
        return drain_here(spec, deadline, tell)
    except (Error, OSError) as error:
        return FlushResult.of_queue(queue, one_line(error))


def trim_embedded_cache(context: Context, state: JobState) -> None:
    """Keep an embedded cache that the host carries from job to job below its size; see `uploader/trim.py`."""
    embedded = context.host.embedded_cache()
    if not embedded or not state.push or context.settings.cache or state.dry_run:
        return
    from ..uploader import trim

    limit = (context.settings.cache_size or GITLAB_CACHE_SIZE) * 10**6
    try:
        with StoreClient(state.nix) as store:
            removed = trim.trim(embedded.cache, limit, store, state.began)
    except (Error, OSError) as error:
        context.host.warning(f"{embedded.cache} was not trimmed: {one_line(error)}")
        return
    if removed:
        context.host.info(f"removed {removed} paths that were not used for longest from {embedded.cache}")
