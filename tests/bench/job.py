"""The cost of caching for a whole job: many tiny builds while uploading, and fewer that take their time."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import in_turn, is_quick, verdict
from tests.harness import graphs, nix, product, roots, servers
from tests.harness.delay import delayed
from tests.harness.job import Job
from tests.harness.machine import Machine

ROUNDS = 3
TURNS = 30
PART = 50  # Nix itself takes time and memory by the square of what one command builds
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

    def build(self, expression: str, *, ours: bool, jobs: int) -> float:
        """Seconds of the build; a flush of the job comes after it, and is noted by itself.

        Also without our hook: the flush finds what was built, and the next turn must not wait for that.
        """
        options = [] if ours else ["--option", "post-build-hook", "/bin/true"]
        if jobs == 1:  # for a tiny build a sandbox takes longer than the build
            options += ["--option", "sandbox", "false"]
        command = ["nix-build", "--no-out-link", "--quiet", "--max-jobs", str(jobs), *options, "--expr", expression]
        seconds = self.machine.run(command, timeout=900).seconds
        self.flushes.append(self.job.run("flush", timeout=300).seconds)
        return seconds

    @contextmanager
    def caching(self) -> Iterator[None]:
        """Nix looks for each path in the cache before it builds it, whoever fills the cache."""
        self.job.run("setup")
        try:
            yield
        finally:
            self.job.run("finish")

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
            elsewhere = frozenset({max(os.sched_getaffinity(0))})
            yield_to_builds(server.popen.pid, elsewhere)
            with delayed(machine, server.port, ROUND_TRIP, processors=elsewhere) as port:
                url = f"s3://bucket?endpoint=http://127.0.0.1:{port}"
                jobs = Jobs(machine, url, key, [], itertools.count())
                tiny(jobs)
                jobs.flushes.clear()
                slow(jobs)


def yield_to_builds(server: int, processors: frozenset[int]) -> None:
    """The server stands for another machine: of this one it gets one processor, when nobody else wants it."""
    for thread in Path(f"/proc/{server}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), 19)
        os.sched_setaffinity(int(thread.name), processors)


def tiny(jobs: Jobs) -> None:
    """In short turns, which a slow moment of the machine hits alike. The flush after each is not counted."""
    turns = TURNS // 5 if is_quick() else TURNS
    with jobs.caching():
        contenders = {
            "hook is /bin/true": lambda: jobs.build(graphs.independent(PART, jobs.fresh()), ours=False, jobs=1),
            "ours, uploading": lambda: jobs.build(graphs.independent(PART, jobs.fresh()), ours=True, jobs=1),
        }
        figures = in_turn(contenders, turns)
    figures.show(f"{PART} tiny derivations a turn, uploading to S3 {ROUND_TRIP * 1000:.0f} ms away")
    low, high = figures.interval("ours, uploading", "hook is /bin/true")
    ratio = figures.ratio("ours, uploading", "hook is /bin/true")
    verdict(f"times as long as with /bin/true (95 %: {low:.2f} to {high:.2f})", ratio, 1.1)


def slow(jobs: Jobs) -> None:
    """200 builds of half a second, four at a time. The flush at the end is a part of it."""

    def ours() -> float:
        return jobs.build(graphs.sleeping(SLOW, jobs.fresh()), ours=True, jobs=4) + jobs.flushes[-1]

    contenders = {
        "hook is /bin/true": lambda: jobs.build(graphs.sleeping(SLOW, jobs.fresh()), ours=False, jobs=4),
        "ours, flush included": ours,
    }
    if not is_quick():
        with jobs.caching():
            figures = in_turn(contenders, ROUNDS)
        figures.show(f"{SLOW} derivations of half a second each")
        verdict("times as long as with /bin/true", figures.ratio("ours, flush included", "hook is /bin/true"), 1.02)


if __name__ == "__main__":
    main()
