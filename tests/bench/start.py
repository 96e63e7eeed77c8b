"""The start of the uploader until it can take work: from its process to its first word, the cache looked at."""

from tests.bench.measure import in_turn, rounds, verdict
from tests.harness import nix, product, programs, roots
from tests.harness.job import Job
from tests.harness.machine import Machine

ROUNDS = 9


def main() -> None:
    with Machine(roots.root(roots.NEW), product.binds()) as machine:
        nix.without_daemon(machine)
        key = Job(machine).keygen("bench-1")
        figures = in_turn({"start": lambda: start(machine, key)}, rounds(ROUNDS))
    figures.show("the uploader, from nothing to its first answer")
    verdict("start of the uploader until it can take work, s", figures.median("start"), 0.4)


def start(machine: Machine, key: str) -> float:
    return float(machine.run(programs.python("start_uploader.py", key), env=product.environment()).stdout)


if __name__ == "__main__":
    main()
