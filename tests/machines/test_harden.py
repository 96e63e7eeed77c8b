"""`harden`: what is taken away, what is said of it, and that root gets all of it back."""

from pathlib import Path

from tests.conftest import MakeMachine
from tests.ground.waiting import wait_for
from tests.machines import sealing
from tests.machines.installing import Job
from tests.machines.sealing import KEY
from tests.machines.test_install_undo import listing


def test_a_hardened_job_pushes_and_solves_limitation_4(machine: MakeMachine, tmp_path: Path) -> None:
    with sealing.job(machine, tmp_path) as sealed:
        said = sealed.job.said("setup")
        assert "4. the pipeline's code cannot take the key or poison the cache: yes" in said, said
        assert sealed.job.sh("sudo -n true", check=False).returncode
        path = sealed.job.build("something")
        said = sealed.job.said("finish")
        assert "1 pushed" in said, said
        assert sealed.cached()["something"]["StorePath"] == path


def test_root_gets_everything_back(machine: MakeMachine, tmp_path: Path) -> None:
    with sealing.job(machine, tmp_path) as sealed:
        made = sealed.job.machine
        sealed.job.build("before")
        before, running = listing(made), len(made.processes())
        sealed.job.run("setup")
        sealed.job.build("something")
        sealed.job.run("finish")
        assert sealed.job.run("undo", check=False).returncode == 3
        Job(made).run("undo")
        sealed.job.run("undo")
        made.write(KEY, sealed.key, mode=0o600, owner="runner")
        assert [line for line in listing(made) if "-something" not in line] == before
        wait_for(lambda: len(made.processes()) == running, "the end of every process of ours", 5)
