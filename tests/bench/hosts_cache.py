"""GitHub's cache beside a bucket and beside none: how long a cold and a warm job takes, and what it asks of GitHub.

The service is an imitation (`tests/harness/actions_cache.py`) whose every answer takes what was measured on github.com.
Its blobs lie in Azurite on the same machine, which takes as much of the processors as the job itself.
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

    def whole(self, inputs: dict[str, str], env: dict[str, str]) -> float:
        self.machine.sh(FRESH)
        job = Job(self.machine, inputs={"compression": "none", **inputs}, env={**env, **BRANCH}, name="bench")
        seconds = job.run("setup").seconds
        seconds += self.machine.run(BUILD, timeout=300).seconds
        return seconds + job.run("finish", timeout=300).seconds

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
                compare(Jobs(machine, actions, root / "s3/bucket", url, Job(machine).keygen("bench-1")))


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


if __name__ == "__main__":
    main()
