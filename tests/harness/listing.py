"""All that a job could leave behind on a machine, to compare before and after."""

from tests.harness import programs
from tests.harness.machine import Machine


def listing(machine: Machine) -> list[str]:
    return machine.run(programs.shell("listing.sh")).stdout.splitlines()
