"""`nix-autocache push` against `nix copy --to` of the newest Nix, to the same HTTP server 30 ms away."""

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import in_turn, verdict
from tests.harness import graphs, nix, product, programs, roots, servers
from tests.harness.delay import delayed
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.servers import Server

ROUND_TRIP = 0.03  # seconds
ROUNDS = 3
INDEPENDENT = 201
CHAINED = 200


def main() -> None:
    with TemporaryDirectory(dir="/dev/shm") as directory, Machine(roots.root(roots.NEW), product.binds()) as machine:
        nix.without_daemon(machine)
        machine.sh("ulimit -n 4096")
        key = Job(machine).keygen("bench-1")
        with servers.rclone_http(machine, Path(directory) / "http") as server:
            server.wait()
            with delayed(machine, server.port, ROUND_TRIP) as port:
                bench = Bench(machine, server, key, f"http://127.0.0.1:{port}")
                bench.small(graphs.independent(INDEPENDENT), f"{INDEPENDENT} independent small paths", 10, second=True)
                bench.small(graphs.chain(CHAINED), f"{CHAINED} small paths, each referring to the one before", 3)
            bench.large()


class Bench:
    """One machine, one server, one key."""

    def __init__(self, machine: Machine, server: Server, key: str, url: str) -> None:
        self.machine, self.server, self.key, self.url = machine, server, key, url
        self._fresh = itertools.count()

    def small(self, expression: str, title: str, goal: float, *, second: bool = False) -> None:
        paths = nix.build(self.machine, expression).split()
        urls: list[str] = []

        def ours() -> float:
            urls.append(self.empty(self.url))
            return self.push(urls[-1], paths)

        contenders = {"nix copy": lambda: self.copy(self.empty(self.url), paths), "nix-autocache push": ours}
        if second:
            contenders["nix-autocache push, again"] = lambda: self.push(urls[-1], paths)
        figures = in_turn(contenders, ROUNDS)
        figures.show(f"{title}, {ROUND_TRIP * 1000:.0f} ms round trip")
        verdict("times faster than nix copy", figures.ratio("nix copy", "nix-autocache push"), goal, at_least=True)
        if second:
            again = figures.ratio("nix-autocache push", "nix-autocache push, again")
            verdict("a second push, times faster than the first", again, 5, at_least=True)

    def large(self) -> None:
        """A tree of compiled code, without delay."""
        self.machine.sh("mkdir -p /root/tree; cp -r /usr/lib/x86_64-linux-gnu /usr/bin /root/tree/")
        for number in range(4):  # some 540 MB
            self.machine.sh(f"cp -r /root/tree/x86_64-linux-gnu /root/tree/{number}")
        path = self.machine.run(["nix-store", "--add", "/root/tree"]).stdout.strip()
        size = int(self.machine.run(["nix-store", "--query", "--size", path]).stdout)
        there = self.server.url
        contenders = {
            "nix copy, zstd": lambda: self.copy(
                self.empty(there), [path], "compression=zstd&parallel-compression=true"
            ),
            "nix-autocache push": lambda: self.push(self.empty(there), [path]),
            "nix copy, zstd, to a directory": lambda: self.copy(
                self.directory(), [path], "compression=zstd&parallel-compression=true"
            ),
            "nix-autocache push, to a directory": lambda: self.push(self.directory(), [path]),
            "hash and compress, nothing else": lambda: self.bare(path),
        }
        figures = in_turn(contenders, ROUNDS)
        figures.show(f"one tree of compiled code, {size / 1e6:.0f} MB, no delay")
        verdict("times faster than nix copy", figures.ratio("nix copy, zstd", "nix-autocache push"), 2, at_least=True)
        rate = figures.ratio("hash and compress, nothing else", "nix-autocache push")
        verdict("of the bare rate", rate, 0.8, at_least=True)
        rate = figures.ratio("hash and compress, nothing else", "nix-autocache push, to a directory")
        verdict("of the bare rate, to a directory", rate, 0.8, at_least=True)

    def directory(self) -> str:
        """A cache in memory that nobody has used; the one before goes, since there is not room for all."""
        self.machine.sh("rm -rf /tmp/cache-*")
        return f"file:///tmp/cache-{next(self._fresh)}"

    def empty(self, url: str) -> str:
        """A cache that nobody has used. `nix copy` wants a nix-cache-info there, rclone its directories."""
        there = f"{self.server.url}/cache-{next(self._fresh)}"
        make = f"for d in '' nar log realisations; do curl -sf -X MKCOL {there}/$d; done"
        self.machine.sh(f"{make}; echo 'StoreDir: /nix/store' | curl -sf -T - {there}/nix-cache-info")
        return there.replace(self.server.url, url)

    def push(self, url: str, paths: list[str]) -> float:
        job = Job(self.machine, inputs={"cache": url, "signing-key": self.key})
        return job.run("push", *paths, timeout=300).seconds

    def copy(self, url: str, paths: list[str], parameters: str = "compression=zstd") -> float:
        return self.machine.run(["nix", "copy", "--to", f"{url}?{parameters}", *paths], timeout=300).seconds

    def bare(self, path: str) -> float:
        """The same archive, ready in a file, hashed and compressed by as many threads as there are processors."""
        self.machine.sh(f"[ -e /root/nar ] || nix-store --dump {path} > /root/nar")
        return self.machine.run(programs.python("hash_and_compress.py")).seconds


if __name__ == "__main__":
    main()
