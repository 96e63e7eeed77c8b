"""The cost of caching for a whole job: many tiny builds while uploading, and fewer that take their time."""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import in_turn, verdict
from tests.harness import graphs, nix, product, roots, servers
from tests.harness.delay import delayed
from tests.harness.job import Job
from tests.harness.machine import Machine

ROUNDS = 2
TINY = 5000
PART = 50
SLOW = 200
ROUND_TRIP = 0.03


@dataclass
class Jobs:
    """Jobs on one machine that push to one S3 server through a delay; each builds what was never built."""

    machine: Machine
    url: str
    key: str
    flushes: list[float]
    numbers: "itertools.count[int]"

    def run(self, expressions: list[str], *, asked: bool, ours: bool, jobs: int) -> float:
        """Seconds of the build; with `ours`, the flush after it is noted apart. `asked` says that Nix looks for each
        path in the cache before it builds it, which is the same with any way to fill the cache."""
        if asked:
            self.job.run("setup")
        options = [] if ours else ["--option", "post-build-hook", "/bin/true"]
        if jobs == 1:  # for a tiny build a sandbox takes longer than the build
            options += ["--option", "sandbox", "false"]
        command = ["nix-build", "--no-out-link", "--quiet", "--max-jobs", str(jobs), *options, "--expr"]
        seconds = sum(self.machine.run([*command, one], timeout=900).seconds for one in expressions)
        if ours:
            self.flushes.append(self.job.run("flush", timeout=300).seconds)
        if asked:
            self.job.run("finish")
        return seconds

    def fresh(self) -> str:
        return f"r{next(self.numbers)}"

    @property
    def job(self) -> Job:
        return Job(self.machine, inputs={"cache": self.url, "signing-key": self.key}, env=servers.s3_env())


def main() -> None:
    with TemporaryDirectory(dir="/dev/shm") as directory, Machine(roots.root(roots.NEW), product.binds()) as machine:
        nix.without_daemon(machine)
        key = Job(machine).keygen("bench-1")
        with servers.rclone_s3(machine, Path(directory) / "s3", ["bucket"]) as server:
            server.wait()
            yield_to_builds(server.popen.pid)
            with delayed(machine, server.port, ROUND_TRIP) as port:
                url = f"s3://bucket?endpoint=http://127.0.0.1:{port}"
                jobs = Jobs(machine, url, key, [], itertools.count())
                tiny(jobs)
                jobs.flushes.clear()
                slow(jobs)


def yield_to_builds(server: int) -> None:
    """The server stands for another machine, which would not take the job's processors."""
    for thread in Path(f"/proc/{server}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), 19)


def tiny(jobs: Jobs) -> None:
    contenders = {
        "no cache, hook is /bin/true": lambda: jobs.run(many(jobs), asked=False, ours=False, jobs=1),
        "cache is asked, hook is /bin/true": lambda: jobs.run(many(jobs), asked=True, ours=False, jobs=1),
        "ours, uploading": lambda: jobs.run(many(jobs), asked=True, ours=True, jobs=1),
    }
    figures = in_turn(contenders, ROUNDS)
    figures.show(f"{TINY} tiny derivations, uploading to S3 {ROUND_TRIP * 1000:.0f} ms away")
    ratio = figures.ratio("ours, uploading", "cache is asked, hook is /bin/true")
    verdict("times as long as with /bin/true", ratio, 1.1)
    verdict("flush after it, s", max(jobs.flushes), 2)


def many(jobs: Jobs) -> list[str]:
    """In parts: Nix itself takes time and memory by the square of what one command builds, 13 GB for 5,000."""
    return [graphs.independent(PART, jobs.fresh()) for _ in range(TINY // PART)]


def slow(jobs: Jobs) -> None:
    """200 builds of half a second, four at a time."""
    contenders = {
        "no cache": lambda: jobs.run([graphs.sleeping(SLOW, jobs.fresh())], asked=False, ours=False, jobs=4),
        "ours, uploading": lambda: jobs.run([graphs.sleeping(SLOW, jobs.fresh())], asked=True, ours=True, jobs=4),
    }
    figures = in_turn(contenders, ROUNDS)
    figures.show(f"{SLOW} derivations of half a second each")
    with_flush = figures.median("ours, uploading") + min(jobs.flushes)
    verdict("times as long, flush included", with_flush / figures.median("no cache"), 1.02)


if __name__ == "__main__":
    main()
