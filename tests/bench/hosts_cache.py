"""GitHub's cache beside a bucket and beside none: how long a cold and a warm job takes, and what it asks of GitHub.

The service is an imitation (`tests/harness/actions_cache.py`) whose every answer takes what was measured on github.com.
Its blobs lie in Azurite on the same machine, which takes as much of the processors as the job itself. What the end of
a job takes is measured by itself, when everything is uploaded and only the pack must be sealed.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import in_turn, note, rounds, verdict
from tests.bench.read import BRANCH, DISTANCE, FRESH
from tests.harness import graphs, nix, product, roots, servers
from tests.harness.actions_cache import Actions, in_machine
from tests.harness.delay import delayed
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.waiting import wait_for

PATHS = 300  # of 0.3 MB: 90 MB
ANSWER = 0.25  # seconds
ROUNDS = 3
CREATE = "CreateCacheEntry"
BUILD = ["nix-build", "--no-out-link", "--quiet", "--option", "sandbox", "false", "/root/graph.nix"]


@dataclass(frozen=True)
class Jobs:
    """Whole jobs from `setup` to `finish`, each with an empty store."""

    machine: Machine
    actions: Actions
    bucket: Path
    url: str
    key: str

    def none(self) -> float:
        self.machine.sh(FRESH)
        return self.machine.run(BUILD, timeout=300).seconds

    def with_bucket(self, *, cold: bool) -> float:
        if cold:
            for path in self.bucket.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return self.whole({"cache": self.url, "signing-key": self.key}, servers.s3_env())

    def with_hosts_cache(self, *, cold: bool) -> float:
        self.actions.control(calls={}, latency=ANSWER, **({"evict": ""} if cold else {}))
        return self.whole({}, self.actions.env())

    def end(self) -> float:
        """The last step of a cold job that has uploaded everything."""
        self.actions.control(latency=ANSWER, evict="")
        self.machine.sh(FRESH)
        job = self.job({}, self.actions.env())
        job.run("setup")
        self.machine.run(BUILD, timeout=300)

        def is_dry() -> bool:
            status = job.status()
            return bool(status["waiting"] == status["unsealed"] == PATHS)

        wait_for(is_dry, "an empty queue", 60)
        return job.run("finish").seconds

    def whole(self, inputs: dict[str, str], env: dict[str, str]) -> float:
        self.machine.sh(FRESH)
        job = self.job(inputs, env)
        seconds = job.run("setup").seconds
        seconds += self.machine.run(BUILD, timeout=300).seconds
        return seconds + job.run("finish", timeout=300).seconds

    def job(self, inputs: dict[str, str], env: dict[str, str]) -> Job:
        return Job(self.machine, inputs={"compression": "none", **inputs}, env={**env, **BRANCH}, name="bench")

    def requests(self) -> tuple[int, int]:
        """Calls of the service, and how many of them were creations, since the last job began."""
        calls = self.actions.control()["calls"]
        return sum(count for name, count in calls.items() if " " not in name), calls.get(CREATE, 0)


def main() -> None:
    with TemporaryDirectory(dir="/dev/shm") as directory, Machine(roots.root(roots.NEW), product.binds()) as machine:
        nix.without_daemon(machine)
        machine.write("/root/graph.nix", graphs.sized(PATHS))
        root = Path(directory)
        with (
            servers.rclone_s3(machine, root / "s3", ["bucket"]) as store,
            in_machine(machine, root / "actions") as actions,
        ):
            store.wait()
            with delayed(machine, store.port, DISTANCE, 7000) as port:
                url = f"s3://bucket?endpoint=http://127.0.0.1:{port}"
                jobs = Jobs(machine, actions, root / "s3/bucket", url, Job(machine).keygen("bench-1"))
                compare(jobs)
                end(jobs)


def compare(jobs: Jobs) -> None:
    asked: dict[str, tuple[int, int]] = {}

    def counted(name: str, cold: bool) -> Callable[[], float]:
        def run() -> float:
            seconds = jobs.with_hosts_cache(cold=cold)
            asked[name] = jobs.requests()
            return seconds

        return run

    contenders = {
        "without a cache": jobs.none,
        "a bucket 30 ms away, cold": lambda: jobs.with_bucket(cold=True),
        "a bucket 30 ms away, warm": lambda: jobs.with_bucket(cold=False),
        "GitHub's cache, 250 ms an answer, cold": counted("cold", cold=True),
        "GitHub's cache, 250 ms an answer, warm": counted("warm", cold=False),
    }
    in_turn(contenders, rounds(ROUNDS)).show(f"a job of {PATHS} paths and 90 MB")
    for name, (calls, creations) in {"cold": (7, 2), "warm": (3, 0)}.items():
        verdict(f"calls of GitHub's service, {name}", asked[name][0], calls)
        verdict(f"of them creations, {name}", asked[name][1], creations)
    note("GitHub allows 200 creations and 1500 other calls a minute for a whole repository")


def end(jobs: Jobs) -> None:
    last = "the end of a job"
    figures = in_turn({last: jobs.end}, rounds(ROUNDS))
    figures.show("what is left for the end, when everything is uploaded and GitHub's cache takes 250 ms an answer")
    verdict("seconds for the end of a job with GitHub's cache", figures.median(last), 2.0)


if __name__ == "__main__":
    main()
