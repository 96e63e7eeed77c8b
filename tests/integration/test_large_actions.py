"""Whole jobs with GitHub's cache that are large in one way or the other: paths, bytes, one archive, a machine's end.

Nix, the uploader and the read proxy are the real ones, and the service is the emulator. `make soak` tries them whole.
"""

import math
from collections import Counter
from pathlib import Path

import pytest

from nix_autocache.caches.actions.writer import Limits
from tests.conftest import MakeMachine
from tests.harness import graphs, nix, product
from tests.harness.actions_cache import Actions, in_machine
from tests.harness.commands import Completed
from tests.harness.job import READ_PROXY, UPLOADER, Job
from tests.harness.machine import Machine
from tests.harness.roots import NEW
from tests.harness.soak import WHOLE, seeds
from tests.harness.waiting import wait_for

BRANCH = {"GITHUB_REPOSITORY": "acme/large", "GITHUB_REF": "refs/heads/main"}
SIZE = "6000"  # MB: other branches than the default one have 1 GB
FULL = Limits().full
PATHS, TIMES = seeds(2000), 5  # of 0.74 MB each: 1.5 GB
LARGE = 3 << 30 if WHOLE else 140 << 20
MEMORY = 150  # MB


def runner(machine: MakeMachine, expression: str, beside: Machine | None = None) -> Machine:
    """A machine with an empty store, as every hosted runner is, and the expression."""
    made = machine(NEW, product.binds(), share_network_with=beside)
    nix.without_daemon(made)
    made.write("/root/graph.nix", expression)
    return made


def job(machine: Machine, actions: Actions, **inputs: str) -> Job:
    return Job(machine, inputs={"cache-size": SIZE, **inputs}, env={**actions.env(), **BRANCH}, name="large")


def build(machine: Machine) -> Completed:
    options = ["--max-jobs", "2", "--option", "sandbox", "false"]
    return machine.run(["nix-build", "--no-out-link", *options, "/root/graph.nix"], timeout=1800)


def verify(machine: Machine, built: Completed) -> None:
    """Every path is there, and is what its hash says."""
    machine.run(["xargs", "nix-store", "--verify-path"], stdin=built.stdout, timeout=600)


def calls(actions: Actions) -> tuple[int, int]:
    """Calls of the service since the last time, and of them creations."""
    counted: Counter[str] = Counter(actions.control()["calls"])
    actions.control(calls={})
    return sum(count for name, count in counted.items() if " " not in name), counted["CreateCacheEntry"]


@pytest.mark.soak
def test_a_job_of_2000_paths_is_a_few_packs_and_the_next_builds_nothing(machine: MakeMachine, tmp_path: Path) -> None:
    expression = graphs.linked(PATHS, TIMES)
    first = runner(machine, expression)
    with in_machine(first, tmp_path / "actions") as actions:
        cold = job(first, actions, compression="none")
        cold.run("setup")
        built = build(first)
        assert built.stderr.count("building '") == PATHS
        assert f"\n{PATHS} pushed" in cold.run("finish", timeout=600).stdout
        bytes_ = int(first.sh("cat $(cat) | wc -c", stdin=built.stdout).stdout)
        packs = len(actions.control()["keys"])
        assert packs <= math.ceil(bytes_ / FULL), "packs are sealed when they are full"
        asked, creations = calls(actions)
        assert asked <= 7 + 2 * (packs - 1)
        assert creations == packs

        second = runner(machine, expression, first)
        warm = job(second, actions, compression="none")
        warm.run("setup")
        read = build(second)
        assert "building '" not in read.stderr
        verify(second, read)
        assert read.stdout == built.stdout
        warm.run("finish")
        asked, creations = calls(actions)
        assert asked <= 2 + packs
        assert creations == 0


@pytest.mark.soak
def test_a_large_archive_goes_up_and_comes_back_in_bounded_memory(machine: MakeMachine, tmp_path: Path) -> None:
    """Its content does not compress, so that as many bytes pass through every buffer."""
    first = runner(machine, graphs.noise(LARGE))
    with in_machine(first, tmp_path / "actions") as actions:
        cold = job(first, actions)
        cold.run("setup")
        built = build(first)
        assert "\n1 pushed" in cold.run("flush", timeout=900).stdout
        assert cold.peak(UPLOADER) <= MEMORY
        cold.run("finish")
        assert calls(actions)[1] == 2, "the archive, and the index"

        wanted = built.stdout.strip()
        first.run(["nix-store", "--delete", wanted])
        warm = job(first, actions)
        warm.run("setup")
        first.run(["nix-store", "--realise", wanted], timeout=900)
        verify(first, built)
        assert warm.peak(READ_PROXY) <= MEMORY
        warm.run("finish")


def test_a_machine_that_is_gone_leaves_what_its_job_sealed(machine: MakeMachine, tmp_path: Path) -> None:
    """No process of it says a last word, and nobody flushes."""
    count, times = 45, 27  # of 4 MB each: more than a pack
    expression = graphs.linked(count, times)
    service = runner(machine, expression)
    with in_machine(service, tmp_path / "actions") as actions:
        first = runner(machine, expression, service)
        job(first, actions, compression="none").run("setup")
        built = build(first)
        wait_for(lambda: actions.control()["keys"], "a sealed pack", 60)
        first.close()

        second = runner(machine, expression, service)
        after = job(second, actions, compression="none")
        after.run("setup")
        again = build(second).stderr.count("building '")
        assert 0 < again < count / 2, "most of it was in the pack"
        verify(second, built)
        assert f"\n{again} pushed" in after.run("finish").stdout
