"""Disks that are full, or cannot be written: builds go on, what can be uploaded is, and the rest is said."""

from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import binary_cache, graphs, nix, product
from tests.harness.graphs import BIG
from tests.harness.job import Job
from tests.harness.roots import RECENT
from tests.harness.waiting import wait_for

STATE = "/var/lib/nix-autocache"


@pytest.fixture
def job(machine: MakeMachine, tmp_path: Path) -> Job:
    """A machine whose state directory is a file system of its own, of half a megabyte."""
    one = machine(RECENT, product.binds(tmp_path))
    nix.without_daemon(one)
    one.sh(f"mkdir {STATE}; mount -t tmpfs -o size=512k none {STATE}")
    return Job(one)


def fill(job: Job) -> None:
    job.machine.sh(f"cat /dev/zero > {STATE}/filler 2>/dev/null || :")


def test_a_full_disk_under_the_queue_loses_no_build_and_no_upload(job: Job, tmp_path: Path) -> None:
    job.run("setup")
    fill(job)
    nix.build(job.machine, graphs.layered(2, 3))
    done = job.run("flush")
    assert len(binary_cache.narinfos(tmp_path / "cache")) == 6
    assert not binary_cache.missing(tmp_path / "cache")
    assert "6 pushed" in done.stderr, "the report does not depend on the disk"
    assert "outcomes.jsonl" in done.stderr
    job.machine.sh(f"rm {STATE}/filler")
    nix.build(job.machine, graphs.leaf("afterwards"))
    assert "7 pushed" in job.run("flush").stderr
    assert "afterwards" in job.outcomes()
    assert len(job.outcomes()) == 7


def test_a_state_directory_that_became_read_only_is_one_line(job: Job) -> None:
    job.run("setup")
    job.kill_uploader()  # before the build, which it could push; and its open log would keep the disk writable
    nix.build(job.machine, graphs.leaf("something"))
    remount = ["mount", "-o", "remount,ro", STATE]
    wait_for(lambda: job.machine.run(remount, check=False).returncode == 0, "the killed uploader to let go of its log")
    nix.build(job.machine, graphs.leaf("more"))
    (line,) = [line for line in job.run("flush").stderr.splitlines() if "warning" in line]
    assert "1 paths were not pushed" in line
    assert "Read-only file system" in line
    job.machine.sh(f"mount -o remount,rw {STATE}")
    nix.build(job.machine, graphs.leaf("again"))
    job.run("flush")
    assert set(job.outcomes()) == {"something", "more", "again"}, "what the hook could not note is found in the store"


def test_setup_in_a_read_only_state_directory_says_what_cannot_be_written(job: Job) -> None:
    job.machine.sh(f"mount -o remount,ro {STATE}")
    done = job.run("setup", check=False)
    assert done.returncode == 3
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert STATE in line
    assert "Read-only file system" in line
    assert "Traceback" not in done.stderr


def test_a_full_disk_under_a_directory_cache_sets_one_path_aside_until_there_is_room(job: Job, tmp_path: Path) -> None:
    job.machine.sh("mkdir /srv/cache; mount -t tmpfs -o size=1m none /srv/cache")
    key = job.keygen()
    job = Job(job.machine, inputs={"cache": "file:///srv/cache", "signing-key": key, "compression": "none"})
    job.run("setup")
    nix.build(job.machine, f"[ ({BIG}) ({graphs.leaf('small')}) ]")
    said = job.run("flush").stderr
    assert "1 pushed, 1 NOT pushed" in said
    assert "No space left" in said
    assert job.outcomes() == {"small": "pushed", "big": "failed"}
    assert job.machine.sh("find /srv/cache -size +64k").stdout == "", "half an archive is left"
    job.machine.sh("mount -o remount,size=32m /srv/cache")
    assert "2 pushed" in job.run("flush").stderr
    assert job.outcomes() == {"small": "pushed", "big": "pushed"}
