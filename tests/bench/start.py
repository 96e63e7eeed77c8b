"""The start of the uploader until it can take work: from its process to its first word, the cache looked at."""

from tests.bench.measure import in_turn, verdict
from tests.harness import nix, product, roots
from tests.harness.job import Job
from tests.harness.machine import Machine

ROUNDS = 9
SCRIPT = """
import os, sys, time
from pathlib import Path
from nix_autocache import environment
sys.path.append(str(environment.wanted(None, os.environ).directory))
from nix_autocache.queue.directory import Queue
from nix_autocache.uploader.client import Uploader
from nix_autocache.uploader.job import Job
here = Path("/root/start")
Queue(here / "queue").create()
job = Job(queue=str(here / "queue"), roots="", nix_bin="/usr/bin", cache="file:///root/start/cache", key=sys.argv[1],
          compression="zstd", compression_level=3, upstreams=(), exclude="", dry_run=False, environ={}, began=0)
uploader = Uploader(here)
begun = time.monotonic()
uploader.wait_ready(uploader.start(job))
print(time.monotonic() - begun)
uploader.stop()
"""


def main() -> None:
    with Machine(roots.root(roots.NEW), product.binds()) as machine:
        nix.without_daemon(machine)
        key = Job(machine).keygen("bench-1")
        figures = in_turn({"start": lambda: start(machine, key)}, ROUNDS)
    figures.show("the uploader, from nothing to its first answer")
    verdict("start of the uploader until it can take work, s", figures.median("start"), 0.4)


def start(machine: Machine, key: str) -> float:
    return float(machine.run(["python3", "-sP", "-c", SCRIPT, key], env=product.environment()).stdout)


if __name__ == "__main__":
    main()
