"""Time and memory against the length of the queue, and with one very large archive: linear growth, flat memory.

The archive goes to a directory, and, of bytes that do not compress, to GitHub's cache and back.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import growth, verdict
from tests.harness import graphs, nix, product, programs, roots
from tests.harness.actions_cache import in_machine
from tests.harness.job import READ_PROXY, UPLOADER, Job
from tests.harness.machine import Machine

COUNTS = (10_000, 100_000)
LARGE = 4 << 30  # bytes, of zeros: a file that takes no room
INCOMPRESSIBLE = 3 << 30
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
    up, down = through_hosts_cache()
    print(f"  one archive of {INCOMPRESSIBLE >> 30} GB of random bytes through GitHub's cache")
    verdict("one archive of 3 GB to GitHub's cache, MB at most", up, LIMIT)
    verdict("the same from there, MB at most", down, LIMIT)


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


def through_hosts_cache() -> tuple[float, float]:
    """The largest memory, in MB, of the uploader that pushes a large archive, and of the read proxy that reads it."""
    branch = {"GITHUB_REPOSITORY": "acme/bench", "GITHUB_REF": "refs/heads/main"}
    with TemporaryDirectory() as directory, Machine(roots.root(roots.NEW), product.binds()) as machine:
        nix.without_daemon(machine)
        machine.write("/root/graph.nix", graphs.noise(INCOMPRESSIBLE))
        with in_machine(machine, Path(directory) / "actions") as actions:
            job = Job(machine, inputs={"cache-size": "6000"}, env={**actions.env(), **branch}, name="bench")
            job.run("setup")
            build = ["nix-build", "--no-out-link", "--option", "sandbox", "false", "/root/graph.nix"]
            path = machine.run(build, timeout=300).stdout.strip()
            job.run("flush", timeout=900)
            up = job.peak(UPLOADER)
            job.run("finish")
            machine.run(["nix-store", "--delete", path])
            job.run("setup")
            machine.run(["nix-store", "--realise", path], timeout=900)
            down = job.peak(READ_PROXY)
            job.run("finish")
            return up, down


if __name__ == "__main__":
    main()
