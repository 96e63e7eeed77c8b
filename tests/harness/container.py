"""A machine as the inside of an unprivileged container: root in it can make no namespaces and mount nothing.

What Docker's default profile refuses is refused by the same means, a seccomp filter and a smaller bounding set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields

from tests.harness import programs
from tests.harness.commands import Command
from tests.harness.machine import Machine

PLACE = "/usr/local/bin/unprivileged"


class Unprivileged(Machine):
    """Commands enter it through the filter; all else is the machine's."""

    def _command(self, words: Sequence[str], user: str, env: Mapping[str, str] | None, cwd: str | None) -> Command:
        return super()._command(["python3", PLACE, *words], user, env, cwd)


def unprivileged(machine: Machine) -> Machine:
    """The same machine, whose further commands run without privileges."""
    machine.write(PLACE, programs.source("unprivileged.py"), mode=0o755)
    inside = Unprivileged(machine.root, machine.binds)
    for field in fields(Machine):
        if field.name not in {"root", "binds"}:
            setattr(inside, field.name, getattr(machine, field.name, None))
    return inside
