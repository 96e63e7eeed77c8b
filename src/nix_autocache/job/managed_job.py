"""The set-up of a job on a managed machine: it installs nothing and has no secret."""

from __future__ import annotations

from typing import Final

from ..errors import RunnerError
from ..machine import paths
from ..machine.managed_machine import ManagedMachine
from ..machine.modes import Mode
from ..machine.observe import Facts
from . import decision, own_conf, tried_exposures
from .context import Context
from .state import JobState

_OF_THE_MACHINE: Final = ("cache", "signing_key", "public_keys", "aws_role")


def join(context: Context, facts: Facts) -> JobState:
    """Give Nix what is this job's own, and judge what its code could reach on this machine."""
    machine = paths.machine(context.environ)
    record = ManagedMachine.load(machine)
    if record is None:
        raise RunnerError("this machine was provisioned a moment ago, and is not any more; run setup again")
    _warn_of_inputs(context)
    own_conf.write_on_managed_machine(context, record, machine)
    ways = tuple(tried_exposures.of_managed_machine(record, machine, facts, context.environ))
    verdict = decision.judge_on_managed_machine(context, ways)
    return JobState.begin(Mode.MANAGED, record.nix, record.cache, verdict)


def _warn_of_inputs(context: Context) -> None:
    given = [name.replace("_", "-") for name in _OF_THE_MACHINE if getattr(context.settings, name)]
    if given:
        context.host.info(f"this machine was provisioned: {', '.join(given)} of this job are ignored")
    if context.settings.harden:
        context.host.warning("harden does nothing here: take sudo from this machine's user once, as its root")
    if context.settings.push == "never":
        context.host.warning("push: never has no effect here: this machine uploads what all its jobs build")
