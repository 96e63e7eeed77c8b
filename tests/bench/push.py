"""`nix-autocache push` against `nix copy --to`, to the same HTTP server: far away, or one that thinks."""

import itertools
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import growth, in_turn, is_quick, note, rounds, verdict
from tests.harness import nix, product, programs, roots, servers, store_graphs
from tests.harness.delay import delayed
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.servers import Server
from tests.harness.store_graphs import Node, make

DISTANCE = 0.03  # seconds: a round trip, or what a server thinks about each request
ROUNDS = 5
COUNTS = (61, 201, 1000)
COPIED = 201  # `nix copy` takes a minute for more
CHAINED = 200
NARINFO = 560  # bytes
COPY, PUSH, AGAIN = "nix copy", "nix-autocache push", "nix-autocache push, again"
ZSTD = "compression=zstd&parallel-compression=true"


def main() -> None:
    counts = COUNTS[:1] if is_quick() else COUNTS
    with served(roots.NEW) as bench:
        with delayed(bench.machine, bench.server.port, DISTANCE) as port:
            bench.far = f"http://127.0.0.1:{port}"
            growth("a push, 30 ms away", {count: bench.small(count, "30 ms away", 10) for count in counts})
            if not is_quick():
                bench.chain(port)
        if not is_quick():
            bench.large()
    with served(roots.OLD) as bench, delayed(bench.machine, bench.server.port, 0.0, thinking=DISTANCE) as port:
        bench.far = f"http://127.0.0.1:{port}"
        thinking = {count: bench.small(count, "30 ms of thinking, Nix 2.8", 12) for count in counts}
        growth("a push, 30 ms of thinking", thinking)


@contextmanager
def served(generation: roots.Generation) -> "Iterator[Bench]":
    with (
        TemporaryDirectory(dir="/dev/shm") as directory,
        Machine(roots.root(generation), product.binds()) as machine,
        servers.rclone_http(machine, Path(directory) / "http") as server,
    ):
        yield Bench(machine, server)


class Bench:
    """One machine, one server, one key; `far` is the server's URL behind the delay."""

    def __init__(self, machine: Machine, server: Server) -> None:
        nix.without_daemon(machine)
        machine.sh("ulimit -n 4096")
        server.wait()
        self.machine, self.server, self.far = machine, server, server.url
        self.key = Job(machine).keygen("bench-1")
        self._fresh = itertools.count()

    def small(self, count: int, world: str, goal: float) -> float:
        """Seconds of a first push of so many independent paths."""
        paths = make(self.machine, store_graphs.independent(count, f"of-{count}"))
        urls: list[str] = []

        def ours() -> float:
            urls.append(self.empty())
            return self.push(urls[-1], paths)

        contenders: dict[str, Callable[[], float]] = {PUSH: ours, AGAIN: lambda: self.push(urls[-1], paths)}
        copied = count <= (COPIED if world.endswith("away") else COUNTS[0])
        if copied:
            contenders = {COPY: lambda: self.copy(self.empty(), paths), **contenders}
        figures = in_turn(contenders, rounds(ROUNDS))
        figures.show(f"{count:,} independent paths, {world}")
        if copied:
            verdict("times faster than nix copy", figures.ratio(COPY, PUSH), goal, at_least=True)
        if world.endswith("away"):
            beyond = figures.median(AGAIN) - self.python() - 2 * DISTANCE
            verdict("a second push, s beyond Python's start and two round trips", beyond, 0.1)
        return figures.median(PUSH)

    def chain(self, port: int) -> None:
        nodes: list[Node] = store_graphs.chain(CHAINED)
        paths = make(self.machine, nodes)

        def bare() -> float:
            folder = self.empty().removeprefix(self.far)
            command = programs.python("bare_puts.py", str(port), folder, str(CHAINED), str(NARINFO))
            return float(self.machine.run(command).stdout)

        contenders = {
            COPY: lambda: self.copy(self.empty(), paths[-1:]),
            PUSH: lambda: self.push(self.empty(), paths[-1:]),
            "200 bare PUTs on one socket": bare,
        }
        figures = in_turn(contenders, rounds(3))
        figures.show(f"{CHAINED} paths, each referring to the one before, 30 ms away")
        verdict("times as long as 200 bare PUTs", figures.ratio(PUSH, "200 bare PUTs on one socket"), 1.05)

    def large(self) -> None:
        """A tree of compiled code, without delay."""
        self.machine.sh("mkdir -p /root/tree; cp -r /usr/lib/x86_64-linux-gnu /usr/bin /root/tree/")
        for number in range(4):  # some 540 MB
            self.machine.sh(f"cp -r /root/tree/x86_64-linux-gnu /root/tree/{number}")
        path = self.machine.run(["nix-store", "--add", "/root/tree"]).stdout.strip()
        size = int(self.machine.run(["nix-store", "--query", "--size", path]).stdout)
        self.far = self.server.url
        shares: dict[str, list[float]] = {COPY: [], PUSH: []}

        def noted(name: str, run: Callable[[], float]) -> float:
            before = self.server.processor_time()
            seconds = run()
            shares[name].append((self.server.processor_time() - before) / seconds / (os.cpu_count() or 1))
            return seconds

        contenders = {
            COPY: lambda: noted(COPY, lambda: self.copy(self.empty(), [path], ZSTD)),
            PUSH: lambda: noted(PUSH, lambda: self.push(self.empty(), [path])),
            f"{COPY}, to a directory": lambda: self.copy(self.directory(), [path], ZSTD),
            f"{PUSH}, to a directory": lambda: self.push(self.directory(), [path]),
            "hash and compress, nothing else": lambda: self.bare(path),
        }
        figures = in_turn(contenders, 10)
        figures.show(f"one tree of compiled code, {size / 1e6:.0f} MB, no delay")
        for name, share in shares.items():
            note(f"Of all processors' time, the server took {statistics.median(share):.0%} during {name}.")
        verdict("over HTTP, times as long as nix copy", figures.ratio(PUSH, COPY), 1.0)
        rate = figures.ratio("hash and compress, nothing else", f"{PUSH}, to a directory")
        verdict("of the bare rate, to a directory", rate, 0.8, at_least=True)

    def directory(self) -> str:
        """A cache in memory that nobody has used; the one before goes, since there is not room for all."""
        self.machine.sh("rm -rf /tmp/cache-*")
        return f"file:///tmp/cache-{next(self._fresh)}"

    def empty(self) -> str:
        """A cache that nobody has used. `nix copy` wants a nix-cache-info there, rclone its directories."""
        there = f"{self.server.url}/cache-{next(self._fresh)}"
        make = f"for d in '' nar log realisations; do curl -sf -X MKCOL {there}/$d; done"
        self.machine.sh(f"{make}; echo 'StoreDir: /nix/store' | curl -sf -T - {there}/nix-cache-info")
        return there.replace(self.server.url, self.far)

    def push(self, url: str, paths: list[str]) -> float:
        job = Job(self.machine, inputs={"cache": url, "signing-key": self.key})
        return job.run("push", *paths, timeout=300).seconds

    def copy(self, url: str, paths: list[str], parameters: str = "compression=zstd") -> float:
        return self.machine.run(["nix", "copy", "--to", f"{url}?{parameters}", *paths], timeout=300).seconds

    def python(self) -> float:
        """Seconds of Python's start; the shortest of some."""
        return min(self.machine.run(["python3", "-sSP", "-c", ""]).seconds for _ in range(5))

    def bare(self, path: str) -> float:
        """The same archive, ready in a file, hashed and compressed by as many threads as there are processors."""
        self.machine.sh(f"[ -e /root/nar ] || nix-store --dump {path} > /root/nar")
        return self.machine.run(programs.python("hash_and_compress.py")).seconds


if __name__ == "__main__":
    main()
