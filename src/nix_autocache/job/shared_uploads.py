"""The uploads of a job on a managed machine, whose uploader it waits for.

Hook, queue and uploader are the machine's and serve all its jobs, so a job sees there what others build meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import chain
from typing import Final

from ..machine import managed_machine, paths
from ..queue.directory import Queue
from ..queue.outcomes import Outcome
from ..uploader.process.client import UploaderClient
from ..uploader.progress import FlushResult
from . import report
from .context import Context
from .state import JobState

_GONE: Final = 60.0  # seconds without an answer after which an uploader does not come back
_AGAIN: Final = 0.2  # seconds until an uploader that is being restarted is asked again


def queue(context: Context) -> Queue:
    return managed_machine.job_paths(paths.machine(context.environ)).queue


def uploader(context: Context) -> UploaderClient:
    return UploaderClient(managed_machine.job_paths(paths.machine(context.environ)).directory)


def outcomes(context: Context) -> Iterable[Outcome]:
    """What became of what was built since this job began. What failed before may be tried, and fail, meanwhile."""
    begun = context.job.setup.stat().st_mtime
    settled = (outcome for outcome in queue(context).outcomes.recorded(begun) if outcome.what != "failed")
    return chain(settled, queue(context).set_aside(begun))


def drain(context: Context, state: JobState, deadline: float) -> FlushResult:
    """Wait until what is queued by now is settled. An uploader that is restarted meanwhile is waited for."""
    tell, heard = report.ProgressLines(context.host), time.monotonic()
    while time.monotonic() < min(deadline, heard + _GONE):
        answer = uploader(context).flush(deadline - time.monotonic(), tell)
        if answer and (answer.error or answer.drained):
            return answer.progress.result(drained=not answer.error, error=answer.error)
        if answer:
            heard = time.monotonic()
        time.sleep(_AGAIN)
    last = uploader(context).status()
    why = last.progress.trouble if last else "the machine's uploader does not answer"
    return FlushResult.of_queue(queue(context), why)
