"""`undo` leaves the machine as it was, after one job, after many, after jobs at once or killed ones."""

import os
import signal

import pytest

from tests.conftest import MakeMachine
from tests.harness import nix
from tests.harness.job import STATE, Job, bare, debian
from tests.harness.listing import listing
from tests.harness.roots import RECENT
from tests.harness.waiting import wait_for

ROUNDS = int(os.environ.get("NIX_AUTOCACHE_ROUNDS", "5"))


def prepared(machine: MakeMachine, kind: str) -> Job:
    """A machine of that kind, on which something was built, so that Nix has made its own directories."""
    job = _prepared(machine, kind)
    job.machine.sh("install -d -o runner /home/runner/.local /home/runner/.local/share")
    return job


def _prepared(machine: MakeMachine, kind: str) -> Job:
    if kind == "bare":
        return bare(machine, user="runner", sudo=True)
    job = debian(machine, RECENT, "runner", sudo=kind == "daemon and sudo")
    if kind == "own store":
        nix.without_daemon(job.machine, owner="runner")
    else:
        nix.with_daemon(job.machine)
    job.build("built")
    return job


def leaves_nothing(job: Job, rounds: int) -> None:
    """So many jobs, each undone, and then the machine is as it was."""
    before, running = listing(job.machine), len(job.machine.processes())
    for _ in range(rounds):
        job.run("setup")
        job.build("built")
        job.run("flush")
        job.run("undo")
    assert listing(job.machine) == before
    wait_for(lambda: len(job.machine.processes()) == running, "the end of every process of ours")


@pytest.mark.parametrize("kind", ["bare", "daemon and sudo", "own store"])
def test_every_file_user_and_process_of_a_job_is_gone_after_undo(machine: MakeMachine, kind: str) -> None:
    leaves_nothing(prepared(machine, kind), rounds=1)


@pytest.mark.parametrize("kind", ["bare", "daemon and sudo"])
def test_setting_up_twice_is_the_same_as_once(machine: MakeMachine, kind: str) -> None:
    job = prepared(machine, kind)
    job.run("setup")
    once = [line for line in listing(job.machine) if "canary" not in line]
    job.run("setup")
    assert [line for line in listing(job.machine) if "canary" not in line] == once
    path = job.build("something")
    job.run("finish")
    assert path in job.cached()


@pytest.mark.parametrize("kind", ["daemon and sudo", "bare"])
def test_a_machine_can_run_the_job_again_and_again(machine: MakeMachine, kind: str) -> None:
    leaves_nothing(prepared(machine, kind), ROUNDS)


@pytest.mark.parametrize("moment", ["/nix/.nix-autocache-*/nix.tar.xz", "/nix/store/*-nix-*/bin", f"{STATE}/hook"])
def test_a_setup_that_was_killed_is_cleaned_up_by_the_next(machine: MakeMachine, moment: str) -> None:
    job = prepared(machine, "bare")
    before = listing(job.machine)
    with job.start("setup") as setup:
        wait_for(lambda: job.machine.sh(f"ls -d {moment}", check=False).returncode == 0, moment, 20)
        # All at once: killed one by one, those that are left go on, and a killed useradd leaves a file of its own.
        job.machine.sh("kill -KILL -1")
        assert setup.wait() == -signal.SIGKILL or setup.wait() != 0
    job.set_up("multi-user")
    assert job.machine.sh("ls -A /nix").stdout.split() == ["store", "var"]
    path = job.build("something")
    job.run("finish")
    assert path in job.cached()
    job.run("undo")
    assert listing(job.machine) == before


@pytest.mark.parametrize("kind", ["bare", "daemon and sudo", "own store"])
def test_two_jobs_that_begin_at_once_do_not_disturb_each_other(machine: MakeMachine, kind: str) -> None:
    plain = prepared(machine, kind)
    key = plain.keygen("a-1")
    jobs = [
        Job(plain.machine, "runner", {**plain.inputs, "signing-key": key, "cache": f"/home/runner/{name}"}, name=name)
        for name in ("first", "second")
    ]
    with jobs[0].start("setup") as one, jobs[1].start("setup") as two:
        assert one.wait() == 0, one.text()
        assert two.wait() == 0, two.text()
    early = plain.build("early")
    assert "not pushed" not in jobs[0].said("finish")
    late = plain.build("late")
    jobs[1].run("finish")
    cached = plain.machine.sh("cat /home/runner/first/*.narinfo; echo ---; cat /home/runner/second/*.narinfo").stdout
    first, second = cached.split("---")
    assert early in first
    assert early in second
    assert late in second
    include = "/home/runner/.config/nix" if kind == "own store" else "/etc/nix"
    assert not plain.machine.exists(f"{include}/nix-autocache.conf")
