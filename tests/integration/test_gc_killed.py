"""Collectors that are killed while machines push, and one that another program writes into."""

import os
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from nix_autocache.nix import keys
from tests.conftest import MakeMachine
from tests.harness import graphs, nix, product, programs
from tests.harness.binary_cache import missing, narinfos
from tests.harness.commands import Process
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import GENERATIONS, NEW, RECENT
from tests.harness.soak import seeds
from tests.harness.waiting import wait_for

CACHE = f"{product.DATA}/cache"
GC = ("gc", "--keep-days", "1", "--keep-runs", "0", "--at-most", "100%")
TWO_DAYS = 2 * 24 * 3600.0
LOAD = 16_000_000  # bytes; its upload takes longer than all questions


def lose_records(cache: Path) -> None:
    for record in cache.glob("autocache/runs/*/*"):
        record.unlink()


def later(cache: Path) -> None:
    """Two days pass, in which no job runs: all that is there is older, and nobody used it."""
    lose_records(cache)
    then = time.time() - TWO_DAYS
    for file in cache.rglob("*"):
        if file.is_file():
            os.utime(file, (then, then))


def job_of(machine: Machine) -> Job:
    """A job on a machine with Nix, which pushes into the directory."""
    nix.without_daemon(machine)
    return Job(machine, inputs={"cache": f"file://{CACHE}", "signing-key": Job(machine).keygen()})


def wait_for_claim(cache: Path, pushing: Sequence[Process]) -> None:
    """Returns also when all of them have ended."""
    claims = cache / "autocache/gc/claims"
    wait_for(lambda: any(claims.glob("*")) or not any(each.running() for each in pushing), "a claim")


def interrupted(job: Job, count: int, script: str, *words: str) -> Sequence[str]:
    """A collector that is interrupted after so many deletions, see the program."""
    return programs.python("interrupt_collector.py", CACHE, str(count), script, *product.CLI, *GC, *words)


def loaded(machine: Machine, choose: random.Random) -> str:
    """A large path that no cache has."""
    machine.write("/tmp/load", choose.randbytes(LOAD))
    return machine.run(["nix-store", "--add", "/tmp/load"]).stdout.strip()


def stopped(job: Job, path: str) -> Sequence[str]:
    """A push that is stopped once it has all that a path needs, until the file `go-on` is there."""
    go_on = f"{product.DATA}/go-on"
    return programs.python("stop_pusher.py", CACHE, str(LOAD // 2), go_on, *product.CLI, "push", path)


def wait_for_stop(pushing: Process) -> None:
    """Returns also when it has ended: this program may have been too late."""
    wait_for(lambda: "stopped" in pushing.text() or not pushing.running(), "a push that is stopped", 60)


@pytest.mark.soak
def test_a_collector_that_is_killed_while_machines_push_leaves_all_that_is_needed(
    machine: MakeMachine, tmp_path: Path
) -> None:
    one = machine(RECENT, product.binds(tmp_path))
    job, cache = job_of(one), tmp_path / "cache"
    tops = nix.build(one, graphs.layered(5, 24)).split()
    (tmp_path / "roots").write_text("\n".join(tops[:3]))
    roots = ("--roots", f"{product.DATA}/roots")
    said, published = [], 0
    for seed in range(seeds(20)):
        choose = random.Random(seed)
        job.run("push", *tops)
        later(cache)
        job.run(*GC, *roots)
        later(cache)
        pushed = [choose.sample(tops, 3), [nix.build(one, graphs.using(choose.choice(tops)))]]
        laden = nix.build(one, graphs.using(choose.choice(tops[3:]), loaded(one, choose)))
        with ExitStack() as stack:
            waiting = stack.enter_context(one.start(stopped(job, laden), env=job.environment()))
            wait_for_stop(waiting)
            lose_records(cache)  # they are hints: claims alone must keep what it needs
            # Those that nothing refers to go first, and there are 21 of them.
            count = choose.randrange(20, 60) if seed % 2 else choose.choice((0, choose.randrange(1, 20)))
            command = interrupted(job, count, "", *roots)
            pushing = [stack.enter_context(job.start("push", *paths)) for paths in pushed]
            if choose.random() < 0.5:  # else the collector comes first
                wait_for_claim(cache, pushing)
            collecting = stack.enter_context(one.start(command, env=job.environment()))
            collecting.wait(60)
            (tmp_path / "go-on").touch()
            for process in (waiting, *pushing):
                process.wait(60)
            (tmp_path / "go-on").unlink()
            said += collecting.text().splitlines()[-1:]
        assert not missing(cache), seed
        published += "stopped" in waiting.text() and (cache / f"{Path(laden).name[:32]}.narinfo").exists()
        later(cache)
        job.run(*GC, *roots)
        assert not missing(cache), seed
        assert len(narinfos(cache)) < 100, "something was collected"
    assert "killed" in said, said
    assert published, "a path was published after what it refers to was claimed"
    assert set(tops[:3]) <= {info["StorePath"] for info in narinfos(cache).values()}
    for generation in GENERATIONS:
        realise_all(machine(generation, product.binds(tmp_path)), cache, job.inputs["signing-key"])


def realise_all(second: Machine, cache: Path, key: str) -> None:
    """Another machine fetches everything that the cache says it has."""
    nix.without_daemon(second)
    paths = [info["StorePath"] for info in narinfos(cache).values()]
    public = str(keys.parse_secret(key).public)
    options = {"substituters": f"file://{CACHE}", "trusted-public-keys": public, "max-jobs": "0"}
    words = [word for name, value in options.items() for word in ("--option", name, value)]
    second.run(["nix-store", "--realise", *words, *paths])
    second.run(["nix-store", "--verify-path", *paths])


def test_what_another_program_published_during_a_sweep_is_not_left_open(machine: MakeMachine, tmp_path: Path) -> None:
    """`nix copy` finds the first link of a chain there, which is deleted last, and publishes what refers to it."""
    one = machine(NEW, product.binds(tmp_path))
    job, cache = job_of(one), tmp_path / "cache"
    top = nix.build(one, graphs.chain(40))
    first = next(path for path in one.run(["nix-store", "-qR", top]).stdout.split() if path.endswith("-link-0"))
    other = nix.build(one, graphs.using(first))
    job.run("push", top)
    later(cache)
    job.run(*GC)
    later(cache)
    done = one.run(interrupted(job, 1, f"nix copy --to file://{CACHE} {other}"), env=job.environment())
    assert "stopped" in done.stdout
    assert not missing(cache)
    part = other.rpartition("/")[2][:32]
    is_removed = f"{part}.narinfo: it refers to what was just deleted" in done.stdout + done.stderr
    # On a busy machine it may be stopped before its second look, which then spares what is needed.
    assert ("using" in narinfos(cache)) is not is_removed


def test_check_mends_what_another_program_left_open(machine: MakeMachine, tmp_path: Path) -> None:
    one = machine(NEW, product.binds(tmp_path))
    job, cache = job_of(one), tmp_path / "cache"
    job.run("push", nix.build(one, graphs.chain(4)), nix.build(one, graphs.leaf("whole")))
    links = {
        name: cache / f"{info['StorePath'].rpartition('/')[2][:32]}.narinfo" for name, info in narinfos(cache).items()
    }
    links["link-1"].unlink()
    assert missing(cache)
    said = job.said("gc", "--check", "--upstream", "none", "--at-most", "100%")
    assert set(narinfos(cache)) == {"link-0", "whole"}
    assert f"{links['link-2'].name}: it refers to" in said
    assert not missing(cache)
