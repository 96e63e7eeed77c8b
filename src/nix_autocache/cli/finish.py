"""`nix-autocache finish`, the end of a job, and `flush`, the part of it that anybody may call at any time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from ..job import own_uploads, report
from ..job.context import Context
from ..job.state import JobState
from ..job.uploads import of_job
from ..uploader.process.client import UploaderClient


def flush(context: Context) -> None:
    """Wait until the queue is dry, by the uploader or by draining here; report it, and raise what fails the job."""
    _flush(context, _state(context))


def _flush(context: Context, state: JobState | None) -> None:
    if state is None or not state.push:
        reason = f"pull only: {state.reason}" if state else "nothing was set up in this job"
        context.host.info(f"nothing to flush: {reason}")
        return
    from ..job.registration import revive_daemon

    begun, uploads = time.monotonic(), of_job(state)
    interruption = report.interruption(context.host, uploads.queue(context))
    with context.host.group("nix-autocache: flushing"), interruption:
        revive_daemon(context, state)
        flushed = uploads.drain(context, state, begun + _allowed(context))
        result = report.Result(
            outcomes=tuple(uploads.outcomes(context)),
            flush=flushed,
            waited=time.monotonic() - begun,
            unsolved=state.unsolved,
            dry_run=state.dry_run,
        )
        report.flushed(context.host, result, context.settings.on_upload_failure)


def _state(context: Context) -> JobState | None:
    """What `setup` decided. A CI host may have ended the read proxy since: then Nix is told first."""
    state = JobState.load(context.job.setup)
    if state is None or state.reader is None:
        return state
    from ..job import dead_proxy

    return dead_proxy.forgotten(context, state)


def _allowed(context: Context) -> float:
    """Seconds for a flush: what was asked for, but no more than the host gives."""
    left = context.host.time_left()
    return context.settings.flush_timeout if left is None else min(context.settings.flush_timeout, left)


def finish(context: Context) -> None:
    """The end of a job: flush, stop the uploader, and take our lines out of nix.conf."""
    state = _state(context)
    warn = _settings_asked(context, state)
    try:
        _flush(context, state)
    finally:
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            warn()
            _release(context, state)


def _settings_asked(context: Context, state: JobState | None) -> Callable[[], None]:
    """Ask Nix, while the flush runs, whether it still reads the cache; see `in_effect.ask_again`."""
    if state is None or not state.reads:
        return lambda: None
    from ..job import in_effect

    return in_effect.ask_again(context, state)


def _release(context: Context, state: JobState | None) -> None:
    """Close this job; with the last one on the machine, our lines go from nix.conf."""
    from ..job.registration import unregister

    try:
        UploaderClient(context.job.directory).stop()
        if state:
            own_uploads.trim_embedded_cache(context, state)
    finally:  # whatever became of the rest, nix.conf must not name what is gone
        if state:
            unregister(context, state)
