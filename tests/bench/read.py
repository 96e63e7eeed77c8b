"""Nix reading through the read proxy against Nix reading the same files by itself, over plain HTTP, 30 ms away.

A round counts only if Nix has every path, which compares each NarHash. Each round has a new read proxy.
"""

import random
import re
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import in_turn, verdict
from tests.harness import graphs, nix, product, roots, servers
from tests.harness.delay import delayed
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import Generation
from tests.harness.waiting import wait_for

ROUND_TRIP = 0.03  # seconds
ROUNDS = 3
PROXY = "nix_autocache.uploader.read_proxy.main"


def main(generation: Generation = roots.NEW) -> None:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(dir="/dev/shm")))
        machine = stack.enter_context(Machine(roots.root(generation), product.binds()))
        nix.without_daemon(machine)
        s3 = stack.enter_context(servers.rclone_s3(machine, directory / "s3", ["bucket"]))
        s3.wait()
        port = stack.enter_context(delayed(machine, s3.port, ROUND_TRIP, 7000))
        bench = Bench(machine, f"http://127.0.0.1:{port}", s3.directory / "bucket")
        bench.row("201 independent paths", graphs.independent(201), 0.6)
        bench.row("a chain of 200", graphs.chain(200), 0.55)
        bench.row("20 layers of 10", graphs.layered(20, 10), 0.6)
        bench.row("a DAG of 400, 1 KB to 20 MB", dag(400), 0.65)
        bench.row("one path of 60 MB", dag(1, 60_000_000), 1.0)


def dag(count: int, size: int = 0) -> str:
    """Paths that refer to up to four earlier ones, with sizes between 1 KB and 20 MB; all of the last ones."""
    chance = random.Random(1)
    rows = []
    for number in range(count):
        length = size or int(1000 * 20_000 ** (chance.random() ** 2.6))
        links = " ".join(f"${{p{each}}}" for each in chance.sample(range(number), min(number, chance.randint(0, 4))))
        script = f"/usr/bin/head -c {length // 3} /dev/urandom | /usr/bin/od -x > $out; echo {links} >> $out"
        rows.append(f'p{number} = sh "path-{number}" "{script}";')
    return f"let {graphs.SHELL} {' '.join(rows)} in [ {' '.join(f'p{number}' for number in range(count))} ]"


class Bench:
    """A machine whose job pushes to the S3 server, which keeps its files in `bucket`."""

    def __init__(self, machine: Machine, cache: str, bucket: Path) -> None:
        self.machine, self.bucket = machine, bucket
        inputs = {"cache": f"s3://bucket?endpoint={cache}", "signing-key": Job(machine).keygen("bench-1")}
        self.job = Job(machine, inputs=inputs, env=servers.s3_env())
        self.peaks: list[int] = []

    def row(self, title: str, expression: str, goal: float) -> None:
        self.job.run("setup")
        build = ["nix-build", "--no-out-link", "--option", "sandbox", "false", "-"]
        paths = self.machine.run(build, stdin=expression, timeout=600).stdout.split()
        self.job.run("flush", timeout=600)
        self.paths = paths
        (url,) = re.findall(r"http://127.0.0.1:\d+", self.machine.read("/etc/nix/nix-autocache.conf"))
        self.peaks.clear()
        # It looks at a directory only once, so it is started when all is there.
        with servers.rclone_http(self.machine, self.bucket, ()) as http:
            http.wait()
            with delayed(self.machine, http.port, ROUND_TRIP, 7001) as port:
                direct = f"http://127.0.0.1:{port}"
                contenders = {"direct": lambda: self.fetch(direct), "through the read proxy": lambda: self.through(url)}
                figures = in_turn(contenders, ROUNDS)
        figures.show(f"{title}, {ROUND_TRIP * 1000:.0f} ms round trip")
        verdict("of direct", figures.ratio("through the read proxy", "direct"), goal)
        verdict("MB of the read proxy", max(self.peaks) / 1000, 120)
        self.job.run("finish", timeout=120)

    def through(self, url: str) -> float:
        (before,) = self.proxies()
        self.machine.run(["kill", "-KILL", str(before)])
        ask = ["curl", "--silent", "--max-time", "5", f"{url}/nix-cache-info"]
        wait_for(lambda: "StoreDir" in self.machine.run(ask, check=False).stdout, "another read proxy", 30)
        (after,) = self.proxies()
        self.peak(after)
        seconds = self.fetch(url)
        assert self.proxies() == [after]
        self.peaks.append(self.peak(after))
        return seconds

    def fetch(self, url: str) -> float:
        self.machine.sh("nix-store --gc >/dev/null 2>&1; rm -rf /root/.cache/nix")
        options = ["--option", "substituters", url, "--option", "extra-substituters", "", "--option", "max-jobs", "0"]
        command = ["nix-store", "--realise", *self.paths, "--option", "require-sigs", "false", *options]
        seconds = self.machine.run([*command, "--option", "fallback", "false"], timeout=300).seconds
        assert not self.machine.run(["nix-store", "--check-validity", "--print-invalid", *self.paths]).stdout
        return seconds

    def proxies(self) -> list[int]:
        return [each.pid for each in self.machine.processes() if PROXY in each.argv]

    def peak(self, pid: int) -> int:
        """In KB."""
        return int(re.findall(r"VmHWM:\s*(\d+)", self.machine.read(f"/proc/{pid}/status"))[0])


if __name__ == "__main__":
    main()
