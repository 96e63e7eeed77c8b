"""Time and memory against the length of the queue, and with one very large archive: linear growth, flat memory."""

import json
from dataclasses import dataclass

from tests.bench.measure import growth, verdict
from tests.harness import nix, product, programs, roots
from tests.harness.job import Job
from tests.harness.machine import Machine

COUNTS = (10_000, 100_000)
LARGE = 4 << 30  # bytes, of zeros: a file that takes no room
LIMIT = 150  # MB


@dataclass(frozen=True)
class Use:
    seconds: float
    megabytes: float


def main() -> None:
    uses = {count: use(count, 100) for count in COUNTS}
    print("\nflush of a queue without an uploader, to a directory")
    for count, used in uses.items():
        print(f"  {count:>7} paths: {used.seconds:8.1f} s, {used.megabytes:6.1f} MB at most")
    growth("a flush to a directory", {count: used.seconds for count, used in uses.items()})
    few, many = COUNTS
    per_path = uses[many].seconds / uses[few].seconds / (many / few)
    verdict("flush of a queue, time per path, 100,000 against 10,000", per_path, 1.2)
    verdict("100,000 queued paths, MB at most", uses[many].megabytes, LIMIT)
    large = use(1, LARGE)
    print(f"  one archive of {LARGE >> 30} GB: {large.seconds:.1f} s, {large.megabytes:.1f} MB at most")
    verdict("one archive of 4 GB, MB at most", large.megabytes, LIMIT)


def use(count: int, size: int) -> Use:
    """Time and memory of a flush of `count` fresh paths of `size` bytes, on a machine of its own."""
    with Machine(roots.root(roots.NEW), product.binds()) as machine:
        nix.without_daemon(machine)
        environment = {**product.environment(), "NIX_AUTOCACHE_FLUSH_TIMEOUT": "1800"}
        machine.write("/root/make.py", programs.source("make_paths.py"))
        # Before the job, since nobody vouches for what is registered during it.
        make = f"mkdir /root/new; python3 -sP /root/make.py 0 {count} {size} | nix-store --load-db"
        machine.sh(make, env=environment, timeout=900)
        job = Job(machine, inputs={"flush-timeout": "1800"})
        job.run("setup")
        job.kill_uploader()
        machine.sh(f"rmdir {job.directory()}/queue/new; mv /root/new {job.directory()}/queue/new")
        command = programs.python("measure.py", *product.CLI, "flush")
        said = machine.run(command, env=environment, timeout=1800)
        assert f"{count} pushed" in said.stderr, said.stderr
        return Use(**json.loads(said.stdout))


if __name__ == "__main__":
    main()
