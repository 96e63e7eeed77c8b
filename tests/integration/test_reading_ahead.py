"""The read proxy fetches ahead of Nix: what goes wrong meanwhile costs builds, never a wrong path and never a hang."""

import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import graphs, nix, product, servers, soak
from tests.harness.binary_cache import narinfos
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import NEW, Generation
from tests.harness.waiting import wait_for


class Reading:
    """A job that has built an expression."""

    def __init__(self, job: Job, bucket: Path, expression: str) -> None:
        self.job, self.machine, self.bucket, self.expression = job, job.machine, bucket, expression
        self.paths = nix.build(job.machine, expression).split()

    def build(self, *, fresh: bool = True) -> str:
        """All of it, from an empty store; everything that Nix says. It forgets the narinfos if `fresh`."""
        self.machine.sh(f"nix-store --gc >/dev/null 2>&1; {'rm -rf /root/.cache/nix' if fresh else ''}")
        done = self.machine.run(["nix-build", "--no-out-link", "--expr", self.expression])
        assert done.stdout.split() == self.paths
        self.machine.run(["nix-store", "--verify", "--check-contents"])
        return done.stderr

    def kill(self) -> None:
        """Kill the read proxy."""
        for pid in self.proxies():
            self.machine.run(["kill", "-KILL", str(pid)], check=False)

    def proxies(self) -> list[int]:
        argument = "nix_autocache.uploader.read_proxy.main"
        return [each.pid for each in self.machine.processes() if argument in each.argv]


@contextmanager
def reading(machine: Machine, directory: Path, expression: str) -> Iterator[Reading]:
    nix.without_daemon(machine)
    with servers.rclone_s3(machine, directory / "s3", ["bucket"]) as server:
        server.wait()
        inputs = {"cache": f"s3://bucket?endpoint={server.url}", "signing-key": Job(machine).keygen()}
        job = Job(machine, inputs=inputs, env=servers.s3_env())
        job.run("setup")
        found = Reading(job, directory / "s3/bucket", expression)
        assert "NOT pushed" not in job.said("flush")
        yield found
        job.run("finish")


@pytest.mark.every_value
@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_an_archive_that_is_harmed_is_built_and_the_others_are_read(
    machine: MakeMachine, nix_generation: Generation, harm: str, tmp_path: Path
) -> None:
    """Before the proxy has served its narinfo, and after: then Nix remembers that, and another proxy does not."""
    expression = f"[ ({graphs.chain(4)}) ({graphs.BIG}) ({graphs.leaf('other')}) ]"
    with reading(machine(nix_generation, product.binds()), tmp_path, expression) as one:
        infos = narinfos(one.bucket)
        for name in ("link-1", "big"):
            path = one.bucket / infos[name]["URL"]
            content = path.read_bytes()
            if harm == "gone":
                path.unlink()
            else:
                path.write_bytes(content[:-1] if harm == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
        for fresh in (True, False):
            said = one.build(fresh=fresh)
            built = set(re.findall(r"building '/nix/store/\w{32}-(\S+)\.drv'", said))
            assert {"link-1", "big"} <= built <= {"link-1", "link-2", "link-3", "big"}, said
            assert {"link-0", "other"} <= set(re.findall(r"copying path '/nix/store/\w{32}-(\S+)'", said)), said
            one.kill()
            wait_for(lambda: len(one.proxies()) == 1, "another read proxy", 30)


@pytest.mark.soak
def test_a_read_proxy_that_is_killed_at_any_moment_costs_builds_at_most(machine: MakeMachine, tmp_path: Path) -> None:
    chance = random.Random(1)
    expression = f"[ ({graphs.layered(4, 5)}) ({graphs.BIG}) ]"
    with reading(machine(NEW, product.binds()), tmp_path, expression) as one:
        for turn in range(200 if soak.WHOLE else 10):
            killing = threading.Timer(chance.uniform(0.0, 0.6), one.kill)
            killing.start()
            one.build()
            killing.join()
            if turn % 4 == 3:  # the uploader waits longer each time before it starts another
                one.job.kill_uploader()
                one.job.run("setup")
            wait_for(lambda: len(one.proxies()) == 1, "another read proxy", 30)
        assert "copying path" in one.build()
