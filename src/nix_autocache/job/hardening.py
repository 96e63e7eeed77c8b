"""`harden: true`: root is taken from the job's user, and the job is judged by what that user can still reach."""

from __future__ import annotations

import getpass
import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ..machine import root
from ..machine.paths import UNDO
from ..trust import memory, sockets, system_files
from . import decision, exposures, tried_exposures
from .context import Context
from .plan import SetupPlan
from .state import JobState

_DIRECTORIES: Final = (
    "HOME", "TMPDIR", "GITHUB_WORKSPACE", "RUNNER_WORKSPACE", "RUNNER_TEMP", "RUNNER_TOOL_CACHE", "CI_PROJECT_DIR",
)  # fmt: skip


@contextmanager
def locked_down(context: Context, plan: SetupPlan, state: JobState) -> Iterator[JobState]:
    """Take root from the job's user where that can be done, and yield the state as it is judged then.

    Root is given back if the block fails.
    """
    if not plan.lock_down:
        yield _judged(context, plan, state, ())
        return
    programs = list(root.call("programs", {}, context.environ))  # what root's processes were started from
    hardening = root.harden(_request(context, programs), context.environ)
    try:
        _warn_of_later_jobs(context)
        ways = tuple(tried_exposures.left_by_lockdown(context, plan.destination, state.nix, programs))
        yield _judged(context, plan, state, ways)
    except BaseException:
        if not hardening.give_up():
            context.host.warning(f"this machine stays hardened; {UNDO}, run by root, ends that")
        raise
    hardening.keep()


def _request(context: Context, programs: Sequence[str]) -> dict[str, object]:
    in_dev, files = memory.devices(), system_files.system_files(programs)
    reachable = [*sockets.sockets(), *sockets.diagnostics(), *in_dev, *files]
    return {
        "job_name": context.job_name,
        "user": os.geteuid(),
        "reachable": [str(path) for path in reachable],
        "own": [str(path) for path in _work_directories(context.environ)],
    }


def _judged(context: Context, plan: SetupPlan, state: JobState, tried: Sequence[str]) -> JobState:
    """The last judgement: by what the job's user can still reach. The log names each way."""
    known = exposures.known(context, plan.facts, plan.rule.mode, plan.destination, locked_down=True)
    ways = [*known, *tried]
    for way in ways:
        context.host.warning(f"harden: {way}")
    verdict = decision.judge(context, plan.destination, ways)
    decision.announce(context, plan.destination, verdict)
    return state.judged(verdict)


def _warn_of_later_jobs(context: Context) -> None:
    if not context.host.ephemeral:
        context.host.warning(
            f"this machine's user {getpass.getuser()} cannot become root any more, in later jobs neither; "
            f"{UNDO}, run by root, brings that back"
        )


def _work_directories(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where the job's user works: what root runs from there is named in the report, and not taken away."""
    yield Path.cwd()
    with suppress(KeyError):
        yield Path(pwd.getpwuid(os.geteuid()).pw_dir)
    for name in _DIRECTORIES:
        if os.path.isabs(environ.get(name, "")):
            yield Path(environ[name])
