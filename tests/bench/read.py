"""How fast a warm job reads: Nix through our proxy against Nix from the same files over plain HTTP.

Each run, and the set-up before it, begins with an empty store and without Nix's memory of the cache. It ends with Nix's
own check that every path is valid: one that is not there, or not right, makes the run an error. The start of the proxy,
and what it fetches before Nix asks for anything, are a part of `setup` and not counted here.
"""

import base64
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import in_turn, is_quick, rounds, verdict
from tests.harness import graphs, nix, product, roots, servers, store_graphs
from tests.harness.delay import delayed
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.store_graphs import Node, make
from tests.harness.waiting import wait_for

DISTANCE = 0.03  # seconds
EVALUATION = 1.0  # seconds from set-up to the first question, in which the proxy starts and reads its index
ROUNDS = 3
MISSES = 5000
FRESH = "nix-store --gc > /dev/null 2>&1; rm -rf /root/.cache/nix"
PROXY = "nix_autocache.uploader.read_proxy.main"
DIRECT, FIRST, WARM = "direct", "proxy, no index", "proxy, with an index"
NEAR = "direct, no distance"  # what Nix itself takes: nothing that it reads through can be faster
BRANCH = {"GITHUB_REPOSITORY": "acme/bench", "GITHUB_REF": "refs/heads/main"}  # a run index belongs to one
NIX_DEFAULT = ("--option", "http-connections", "25")


@dataclass(frozen=True)
class Shape:
    """A graph to read, and the goals: times of direct, with an index and without."""

    name: str
    nodes: list[Node]
    with_index: float
    without: float

    def wanted(self, paths: list[str]) -> list[str]:
        """What to ask Nix for: the paths that no other refers to."""
        referred = {number for node in self.nodes for number in node.references}
        return [path for number, path in enumerate(paths) if number not in referred]


SHAPES = [
    Shape("201 independent paths", store_graphs.independent(201), 0.35, 0.6),
    Shape("20 layers of 10", store_graphs.layers(20, 10), 0.2, 0.6),
    Shape("chain of 200", store_graphs.chain(200), 0.05, 0.55),
    Shape("400 paths, 1 KB to 20 MB", store_graphs.random_dag(400, 280_000_000), 0.55, 0.65),
]
TREE = Shape("one large tree", [], 1.0, 1.0)
ONE_AT_A_TIME = replace(SHAPES[0], with_index=0.1, without=0.15)  # Nix 2.8 fetches one archive after the other


def main() -> None:
    generation(roots.NEW, SHAPES[:2] if is_quick() else SHAPES)
    if not is_quick():
        generation(roots.OLD, [ONE_AT_A_TIME, *SHAPES[1:]], few=True)
        generation(roots.RECENT, SHAPES, few=True)


def generation(of: roots.Generation, shapes: list[Shape], *, few: bool = False) -> None:
    """All rows for one Nix; `few` leaves out the thinking server, memory and misses."""
    with TemporaryDirectory(dir="/dev/shm") as directory, Machine(roots.root(of), product.binds()) as machine:
        nix.without_daemon(machine)
        bench = Bench(machine, Path(directory), Job(machine).keygen("bench-1"))
        with servers.rclone_s3(machine, bench.objects.parent, ["bucket"]) as store:
            store.wait()
            paths = {shape.name: make(machine, shape.nodes) for shape in shapes}
            tree = [] if is_quick() else [add_tree(machine)]
            bench.push(store.url, [path for some in paths.values() for path in some] + tree)
            with servers.rclone_http(machine, bench.objects) as plain:
                plain.wait()
                for world, delay in worlds(few=few).items():
                    with bench.behind(delay, store.port, plain.port):
                        for shape in shapes:
                            long = shape.name.startswith("chain") and world != "network"
                            if not long:  # it takes minutes, and says the same
                                bench.compare(f"{shape.name}, {world}, Nix {of.nix}", paths[shape.name], shape)
                        if tree:
                            bench.compare(f"{TREE.name}, {world}, Nix {of.nix}", tree, TREE)
                        if not few and world == "network":
                            if not is_quick():
                                bench.memory(paths[SHAPES[3].name])
                            bench.misses(f"{MISSES:,} misses, {world}, Nix {of.nix}")


def worlds(*, few: bool) -> dict[str, tuple[float, float]]:
    """Round trip and thinking, in seconds."""
    network = {"network": (DISTANCE, 0.0)}
    return network if few or is_quick() else {**network, "thinking": (0.0, DISTANCE)}


def add_tree(machine: Machine) -> str:
    """Compiled code, some 200 MB."""
    machine.sh("mkdir -p /root/tree; cp -r /usr/lib/x86_64-linux-gnu /usr/bin /root/tree/")
    return machine.run(["nix-store", "--add", "/root/tree"]).stdout.strip()


class Bench:
    """One machine and one bucket, which is read through S3 by our proxy, and over plain HTTP by Nix alone."""

    def __init__(self, machine: Machine, directory: Path, key: str) -> None:
        self.machine, self.key, self.objects = machine, key, directory / "s3" / "bucket"
        name, _, secret = key.partition(":")
        self._public = f"{name}:{base64.b64encode(base64.b64decode(secret)[32:]).decode()}"
        self._s3 = self._direct = self._near = ""

    @contextmanager
    def behind(self, delay: tuple[float, float], s3: int, http: int) -> Iterator[None]:
        round_trip, thinking = delay
        with (
            delayed(self.machine, s3, round_trip, 7000, thinking=thinking) as far_s3,
            delayed(self.machine, http, round_trip, 7001, thinking=thinking) as far_http,
        ):
            self._s3, self._direct = f"http://127.0.0.1:{far_s3}", f"http://127.0.0.1:{far_http}"
            self._near = f"http://127.0.0.1:{http}"
            yield

    def push(self, url: str, paths: list[str]) -> None:
        self._s3 = url
        self._job().run("push", *paths, timeout=300)

    def compare(self, title: str, paths: list[str], goals: Shape) -> None:
        wanted = goals.wanted(paths)
        contenders: dict[str, Callable[[], float]] = {
            DIRECT: lambda: self.alone(paths, wanted, self._direct),
            NEAR: lambda: self.alone(paths, wanted, self._near),
            FIRST: lambda: self.in_job(lambda: self.read(paths, wanted), first=True),
        }
        self.in_job(lambda: self.read(paths, wanted), first=True)
        indexed = (self.objects / "autocache" / "index").exists()  # else a second job is no other than the first
        if indexed:
            contenders[WARM] = lambda: self.in_job(lambda: self.read(paths, wanted))
        figures = in_turn(contenders, rounds(ROUNDS))
        figures.show(title)
        if indexed:
            verdict("with an index, times of direct", figures.ratio(WARM, DIRECT), goals.with_index)
        verdict("without an index, times of direct", figures.ratio(FIRST, DIRECT), goals.without)

    def misses(self, title: str) -> None:
        """Derivations that no cache has: Nix asks for each, and would build it."""
        expression = graphs.independent(MISSES, "miss")
        self.machine.write("/root/misses.nix", expression)
        made = self.machine.run(["nix-instantiate", "--quiet", "/root/misses.nix"], timeout=300)
        self.machine.write("/root/misses", made.stdout)

        def ask(*options: str) -> float:
            self.machine.sh("rm -rf /root/.cache/nix")
            command = f"xargs -s 1500000 nix-store --realise --dry-run {' '.join(options)} < /root/misses"
            done = self.machine.sh(command, timeout=120)
            assert f"these {MISSES} derivations will be built" in done.stderr, done.stderr[:2000]
            return done.seconds

        contenders = {
            DIRECT: lambda: ask(*self._plain(self._direct)),
            "through the proxy": lambda: self.through_proxy(ask),
        }
        figures = in_turn(contenders, rounds(ROUNDS))
        figures.show(title)
        verdict("times of direct", figures.ratio("through the proxy", DIRECT), 0.45)

    def memory(self, paths: list[str]) -> None:
        """The proxy's, in MB, before the first question, at the peak, and half a minute after the last."""
        found: dict[str, float] = {}

        def watched() -> float:
            found["before the first fetch"] = self._megabytes("VmRSS")
            seconds = self.read(paths, paths)
            found["at the peak"] = self._megabytes("VmHWM")
            with suppress(AssertionError):  # then the figure says it
                wait_for(lambda: self._megabytes("VmRSS") <= 40, "less memory", 40)
            found["30 s after the last"] = self._megabytes("VmRSS")
            return seconds

        self.in_job(watched, first=True)
        print("\nmemory of the read proxy")
        for when, limit in {"before the first fetch": 40, "at the peak": 120, "30 s after the last": 40}.items():
            verdict(f"memory of the read proxy, MB, {when}", found[when], limit)

    def read(self, paths: list[str], wanted: list[str], options: tuple[str, ...] = ()) -> float:
        """Seconds until a store without them has the `wanted` paths, and with them all `paths`."""
        done = self.machine.run(["nix-store", "--realise", "--quiet", *options, *wanted], timeout=300)
        self.machine.run(["nix-store", "--check-validity", *paths])
        return done.seconds

    def alone(self, paths: list[str], wanted: list[str], url: str) -> float:
        """As `read`, by Nix itself, which has forgotten all that it knew."""
        self.machine.sh(FRESH)
        return self.read(paths, wanted, self._plain(url))

    def in_job(self, read: Callable[[], float], *, first: bool = False) -> float:
        """In a job of its own that begins with an empty store; the `first` of a branch finds no index."""
        self.machine.sh(FRESH)
        if first:
            shutil.rmtree(self.objects / "autocache", ignore_errors=True)
        return self.through_proxy(read)

    def through_proxy(self, read: Callable[[], float]) -> float:
        job = self._job()
        job.run("setup")
        time.sleep(EVALUATION)
        try:
            return read()
        finally:
            job.run("finish")

    def _job(self) -> Job:
        inputs = {"cache": f"s3://bucket?endpoint={self._s3}", "signing-key": self.key}
        return Job(self.machine, inputs=inputs, env={**servers.s3_env(), **BRANCH}, name="bench")

    def _plain(self, url: str) -> tuple[str, ...]:
        keys = ("--option", "trusted-public-keys", self._public)
        return ("--option", "substituters", url, *keys, *NIX_DEFAULT)

    def _megabytes(self, field: str) -> float:
        """The sum over the proxy's processes."""
        pids = [each.pid for each in self.machine.processes() if PROXY in each.argv]
        assert pids, "the read proxy runs"
        return sum(self._one(pid, field) for pid in pids) / 1000

    def _one(self, pid: int, field: str) -> float:
        status = self.machine.read(f"/proc/{pid}/status")
        return float(next(line.split()[1] for line in status.splitlines() if line.startswith(field)))


if __name__ == "__main__":
    main()
