"""Uploaders that are killed, doubled and in each other's way."""

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import binary_cache, graphs, nix, product, programs
from tests.harness.job import Job
from tests.harness.roots import RECENT
from tests.harness.soak import seeds

ROUNDS = seeds(200)  # of each process: 20 are enough for kills in the middle
SEEDS = (1, 2)  # a process each


@pytest.mark.soak
def test_kills_at_any_moment_leave_the_cache_closed_and_a_flush_completes_it(machine: MakeMachine) -> None:
    """No narinfo without its archive and references, nothing lost, nothing uploaded twice that was visible."""
    one = machine(RECENT, product.binds())
    nix.without_daemon(one)
    paths = nix.build(one, graphs.layered(8, 8)).split()
    closure = one.run(["nix-store", "--query", "--requisites", *paths]).stdout.split()
    assert len(closure) == 64
    Job(one).run("keygen", "any-1")  # makes the environment
    with ExitStack() as stack:
        commands = (programs.python("kills.py", f"/root/{seed}", str(ROUNDS), str(seed), *closure) for seed in SEEDS)
        running = [stack.enter_context(one.start(command, env=product.environment())) for command in commands]
        for process in running:
            assert process.wait(600) == 0, process.text()
    for process in running:
        *wrong, said = process.text().splitlines()
        assert not wrong
        counts = re.match(r"(\d+) killed, (\d+) in the middle", said)
        assert counts, said
        assert int(counts[1]) > ROUNDS / 2, said
        assert int(counts[2]) > ROUNDS / 10, said


def test_two_jobs_that_push_the_same_closure_at_once_are_both_right(machine: MakeMachine, tmp_path: Path) -> None:
    one = machine(RECENT, product.binds(tmp_path))
    nix.without_daemon(one)
    paths = nix.build(one, graphs.layered(8, 8)).split()
    job = Job(one)
    job.run("keygen", "any-1")
    with job.start("push", *paths) as first, job.start("push", *paths) as second:
        for process in (first, second):
            assert process.wait() == 0, process.text()
            assert sum(map(int, re.findall(r"(\d+) (?:pushed|already there)", process.text()))) == 64
    assert len(binary_cache.narinfos(tmp_path / "cache")) == 64
    assert not binary_cache.missing(tmp_path / "cache")


def test_a_second_uploader_on_the_same_queue_leaves_it_to_the_first(machine: MakeMachine, tmp_path: Path) -> None:
    one = machine(RECENT, product.binds(tmp_path))
    nix.without_daemon(one)
    job = Job(one)
    job.run("setup")
    first = job.uploaders()
    one.sh(f"mv {job.directory()}/uploader.sock {job.directory()}/hidden")  # so that nobody finds and stops it
    assert "another uploader has" in job.run("flush").stderr
    assert first == job.uploaders()
    one.sh(f"mv {job.directory()}/hidden {job.directory()}/uploader.sock")
    nix.build(one, graphs.leaf("only"))
    assert "1 pushed" in job.run("flush").stderr
