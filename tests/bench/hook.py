"""The cost of the hook for a build: 100 tiny derivations in a row with no hook, `/bin/true`, ours, `nix copy`."""

from collections.abc import Callable
from functools import partial

from tests.bench.measure import in_turn, rounds, verdict
from tests.harness import graphs, nix, product, roots
from tests.harness.job import Job
from tests.harness.machine import Machine

COUNT = 100
ROUNDS = 5
COPY = "#!/bin/sh\nexec nix copy --to file:///root/copied $OUT_PATHS\n"


def main() -> None:
    with Machine(roots.root(roots.NEW), product.binds()) as machine:
        nix.without_daemon(machine)
        machine.write("/root/copy", COPY, mode=0o755)
        job = Job(machine)
        job.run("setup")
        job.kill_uploader()  # it would compete for the processor; tests/bench/job.py measures them together
        machine.sh("sed -i /post-build-hook/d /etc/nix/nix.conf /etc/nix/nix-autocache.conf")
        hooks = {
            "no hook": "",
            "/bin/true": "/bin/true",
            "ours": "/var/lib/nix-autocache/hook",
            "nix copy": "/root/copy",
        }
        build(machine, "")  # the first reads everything from the disk
        contenders: dict[str, Callable[[], float]] = {
            name: partial(build, machine, hook) for name, hook in hooks.items()
        }
        figures = in_turn(contenders, rounds(ROUNDS))
    figures.show(f"{COUNT} tiny derivations one after the other, Nix {roots.NEW.nix}")
    cost = {name: (figures.median(name) - figures.median("no hook")) / COUNT * 1000 for name in hooks}
    print("  per build: " + ", ".join(f"{name} {cost[name]:.2f} ms" for name in list(hooks)[1:]))
    verdict("ours against /bin/true, cost per build", cost["ours"] / cost["/bin/true"], 1.5)


_round = 0


def build(machine: Machine, hook: str) -> float:
    """Seconds for derivations that were never built before."""
    global _round
    _round += 1
    options = ["--option", "post-build-hook", hook] if hook else []
    expression = graphs.independent(COUNT, f"r{_round}")
    command = ["nix-build", "--no-out-link", "--max-jobs", "1", "--quiet", *options, "--expr", expression]
    return machine.run(command, timeout=300).seconds


if __name__ == "__main__":
    main()
