"""This user's own nix.conf: what the machine's may not say, as a token, and what else hides the machine's lines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from ..errors import RunnerError
from ..machine import registrations
from ..machine.managed_machine import ManagedMachine
from ..machine.paths import Paths
from ..machine.registrations import Registration
from ..nix import effective
from . import nix_conf
from .context import Context


def write(context: Context, nix_bin: str, lines: Sequence[str]) -> None:
    """Put the job's lines there; warn where that cannot be done."""
    owner = (os.geteuid(), os.getegid())
    registration = Registration(job_name=context.job_name, owner=owner, lines=tuple(lines), nix_bin=nix_bin)
    try:
        registrations.add(context.own_paths, registration, private=True)
    except RunnerError as error:
        context.host.warning(str(error))


def remove(context: Context) -> None:
    """Take the job's lines out again."""
    registrations.remove(context.own_paths, context.job_name, daemon=False, everything=True)


def write_on_managed_machine(context: Context, record: ManagedMachine, machine: Paths) -> None:
    """Tell Nix what is this job's own. The machine's cache is named again where this user's settings take it away."""
    lines = nix_conf.lines_on_managed_machine(context)
    write(context, record.nix_bin, lines)
    settings = effective.of_client(record.nix, context.environ)
    with suppress(OSError):
        shared = machine.config.include.read_text(encoding="utf-8").splitlines()
        caches = [line for line in shared if line.startswith("extra-substituters = ")]
        if lost := nix_conf.lacking(caches, settings):
            write(context, record.nix_bin, [*lines, *lost])
