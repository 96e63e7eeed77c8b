"""Attacks that want the uploader to stop: by its socket, its queue, its disk. What is built is pushed all the same."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import programs, sealing
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.sealing import Sealed
from tests.harness.soak import seeds
from tests.harness.waiting import wait_for


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    with sealing.sealed(tmp_path_factory.mktemp("sealed")) as made:
        yield made


def pushes(sealed: Sealed, name: str) -> None:
    """Builds something, and finds it in the cache after a flush."""
    path = sealed.job.build(name)
    said = sealed.job.said("flush")
    assert "error" not in said
    assert sealed.cached()[name]["StorePath"] == path, said


def test_garbage_on_the_socket_is_survived(sealed: Sealed) -> None:
    pid, socket = sealed.uploader(), f"{sealed.job.directory()}/uploader.sock"
    done = sealed.python("fuzz_socket.py", socket, "600")
    assert done.returncode == 0, done.stderr
    assert sealed.uploader() == pid
    assert "Traceback" not in sealed.machine.read(f"{sealed.job.directory()}/uploader.log")
    pushes(sealed, "after-garbage")


def test_connections_that_are_held_keep_nobody_out(sealed: Sealed) -> None:
    pid, socket = sealed.uploader(), f"{sealed.job.directory()}/uploader.sock"
    with sealed.machine.start(programs.python("hold_socket.py", socket, "300"), user="runner") as holding:
        wait_for(lambda: "held" in holding.text(), "what is held")
        pushes(sealed, "while-held")
        descriptors = sealed.machine.sh(f"ls /proc/{pid}/fd | wc -l").stdout
        assert int(descriptors) < 200
        holding.signal(signal.SIGKILL)
    assert sealed.uploader() == pid


def test_other_users_are_not_heard(sealed: Sealed) -> None:
    sealed.machine.add_user("guest")
    socket = f"{sealed.job.directory()}/uploader.sock"
    assert sealed.python("ask_status.py", socket, user="guest").stdout == "0\n"
    assert int(sealed.python("ask_status.py", socket).stdout) > 0


def test_who_locks_what_may_be_read_locks_nobody_out(sealed: Sealed) -> None:
    """Every file of ours that the job's user can open, while root sets up another job, which changes all of them."""
    with sealed.machine.start(programs.python("lock_files.py"), user="runner") as holding:
        wait_for(lambda: "held" in holding.text(), "what is held")
        pushes(sealed, "while-locked")
        Job(sealed.machine, inputs={"cache": "/tmp/other"}, name="other").run("setup", timeout=30)
        holding.signal(signal.SIGKILL)


@pytest.mark.soak
def test_thousands_of_entries_of_nothing_hold_back_no_build(tmp_path: Path) -> None:
    """In an open job, whose user owns the queue: in a sealed one only the hook can add an entry. In soak, more than the
    two thousand that are in work at a time; a million are more of the same.
    """
    count = seeds(2500)
    with sealing.job(tmp_path, inputs={"harden": "false"}) as opened:
        opened.job.run("setup")
        opened.job.build("before")
        assert opened.python("flood_queue.py", f"{opened.job.directory()}/queue/new", str(count)).returncode == 0
        opened.job.build("behind")
        said = opened.job.run("finish", "--flush-timeout", "100", timeout=150).stderr
        assert set(opened.cached()) == {"before", "behind"}, said
        assert f"{count} NOT pushed" in said


def test_a_disk_that_the_jobs_user_fills_loses_no_build(tmp_path: Path) -> None:
    def share(machine: Machine) -> None:
        """One file system for our state and for what everybody may write."""
        machine.sh("mount -t tmpfs -o size=256m none /mnt; mkdir /mnt/state; mkdir -m 1777 /mnt/open")
        machine.sh("mkdir -p /var/lib/nix-autocache; mount --bind /mnt/state /var/lib/nix-autocache")

    with sealing.sealed(tmp_path, prepare=share) as sealed:
        assert sealed.attack("cat /dev/zero >/mnt/open/filler").returncode
        pushes(sealed, "on-a-full-disk")
