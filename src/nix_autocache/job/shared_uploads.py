"""A job on a managed machine: it installs nothing, has no secret, and waits for the machine's uploader.

Hook, queue and uploader are the machine's and serve all its jobs, so a job sees there what others build meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import chain
from typing import Final

from ..errors import RunnerError
from ..machine import managed_machine, paths
from ..machine.managed_machine import ManagedMachine
from ..machine.modes import Mode
from ..machine.observe import Facts
from ..queue.directory import Queue
from ..queue.outcomes import Outcome
from ..uploader.process.client import UploaderClient
from ..uploader.progress import FlushResult
from . import decision, exposures, report
from .context import Context
from .state import JobState

_GONE: Final = 60.0  # seconds without an answer after which an uploader does not come back
_AGAIN: Final = 0.2  # seconds until an uploader that is being restarted is asked again
_OF_THE_MACHINE: Final = ("cache", "signing_key", "public_keys", "aws_role")


def join(context: Context, facts: Facts) -> JobState:
    """Give Nix what is this job's own, and judge what its code could reach on this machine."""
    from . import own_conf

    machine = paths.machine(context.environ)
    record = ManagedMachine.load(machine)
    if record is None:
        raise RunnerError("this machine was provisioned a moment ago, and is not any more; run setup again")
    _warn_of_inputs(context)
    own_conf.write_on_managed_machine(context, record, machine)
    ways = tuple(exposures.of_managed_machine(record, machine, facts, context.environ))
    verdict = decision.judge_on_managed_machine(context, ways)
    return JobState.begin(Mode.MANAGED, record.nix, record.cache, verdict)


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


def _warn_of_inputs(context: Context) -> None:
    given = [name.replace("_", "-") for name in _OF_THE_MACHINE if getattr(context.settings, name)]
    if given:
        context.host.info(f"this machine was provisioned: {', '.join(given)} of this job are ignored")
    if context.settings.harden:
        context.host.warning("harden does nothing here: take sudo from this machine's user once, as its root")
    if context.settings.push == "never":
        context.host.warning("push: never has no effect here: this machine uploads what all its jobs build")
