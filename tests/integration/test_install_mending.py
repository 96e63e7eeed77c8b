"""Half-broken machines: mended, worked with, or refused in one clear line."""

from tests.conftest import MakeMachine
from tests.harness import nix
from tests.harness.job import BUILD, Job, bare, debian
from tests.harness.roots import OLD, RECENT, Generation
from tests.harness.waiting import wait_for

THEIRS = """#!/bin/sh
echo "theirs was told of $OUT_PATHS"
echo "$DRV_PATH" >>/var/tmp/theirs
exit 1
"""


def comes_through(job: Job) -> None:
    path = job.build("something")
    said = job.said("finish")
    assert path in job.cached(), said


def test_a_store_without_nix_is_installed_into_and_keeps_what_it_had(machine: MakeMachine) -> None:
    job = bare(machine, user="runner", sudo=True)
    job.machine.sh("mkdir -p /nix/store/$(printf %032d 0)-left; touch /nix/store/half.lock")
    job.set_up("multi-user")
    comes_through(job)
    job.run("undo")
    assert job.machine.sh("cd /nix; find . | sort").stdout.split() == [
        ".", "./store", f"./store/{'0' * 32}-left", "./store/half.lock",
    ]  # fmt: skip


def test_a_dead_daemon_is_started_for_the_job_by_sudo(machine: MakeMachine, nix_generation: Generation) -> None:
    job = debian(machine, nix_generation, "runner", sudo=True)
    nix.with_daemon(job.machine).kill()
    wait_for(lambda: not job.machine.processes(), "the daemon's end")
    said = job.set_up("existing-daemon")
    assert "a daemon's socket, but nobody answers" in said
    comes_through(job)
    wait_for(lambda: not job.machine.processes(), "the end of every process")


def test_a_dead_daemon_without_sudo_is_refused_in_one_line(machine: MakeMachine) -> None:
    job = debian(machine, RECENT, "runner")
    nix.with_daemon(job.machine).kill()
    wait_for(lambda: not job.machine.processes(), "the daemon's end")
    done = job.run("setup", check=False)
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "error: " in line]
    assert done.returncode == 3
    assert "start the nix-daemon before this step" in line


def test_a_socket_that_the_user_may_not_reach_is_named(machine: MakeMachine) -> None:
    job = debian(machine, RECENT, "runner")
    nix.with_daemon(job.machine)
    job.machine.sh("chmod 750 /nix/var/nix/daemon-socket")
    done = job.run("setup", check=False)
    assert done.returncode == 3
    assert "let this user connect to /nix/var/nix/daemon-socket/socket" in done.stderr


def test_missing_build_users_are_made_and_taken_away_again(machine: MakeMachine, nix_generation: Generation) -> None:
    job = debian(machine, nix_generation)
    job.machine.write("/etc/nix/nix.conf", nix.CONFIG)
    job.machine.sh("mkdir -p /nix/store /nix/var/nix")
    before = job.machine.read("/etc/passwd"), job.machine.read("/etc/group")
    job.set_up("existing-single-user")
    comes_through(job)
    job.run("undo")
    assert (job.machine.read("/etc/passwd"), job.machine.read("/etc/group")) == before


def test_a_configuration_that_nobody_can_change_is_worked_around(machine: MakeMachine) -> None:
    job = debian(machine, RECENT, "runner", sudo=True)
    nix.with_daemon(job.machine)
    job.machine.sh("mount --bind /etc/nix /etc/nix; mount -o remount,bind,ro /etc/nix")
    said = job.set_up("existing-store-scan")
    assert "/etc/nix cannot be changed" in said
    comes_through(job)
    root = Job(job.machine)
    root.set_up("existing-trusted-user")
    path = root.build("by-root")
    root.run("finish")
    assert path in root.cached()
    root.run("undo")
    assert not job.machine.exists("/root/.config/nix")


def test_somebody_elses_hook_is_still_called_and_does_no_harm(machine: MakeMachine, nix_generation: Generation) -> None:
    job = debian(machine, nix_generation, "runner", sudo=True)
    job.machine.write("/opt/theirs", THEIRS, mode=0o755)
    nix.with_daemon(job.machine, "post-build-hook = /opt/theirs\n")
    job.set_up("existing-daemon")
    both = " ".join(BUILD.format(name=name) for name in ("first", "second")).replace("derivation", "(derivation")
    expression = f"[ {both.replace('}', '})')} ]"
    done = job.sh(f"nix-build --no-out-link --expr '{expression}'")
    theirs = job.machine.read("/var/tmp/theirs")
    assert "first.drv" in theirs
    assert "second.drv" in theirs
    assert "theirs was told of" in done.stderr
    job.run("finish")
    for path in done.stdout.split():
        assert path in job.cached()
    job.sh(f"nix-build --no-out-link --expr '{BUILD.format(name='third')}'", check=False)
    assert job.machine.read("/var/tmp/theirs").count("third.drv") == 1
    assert job.machine.read("/etc/nix/nix.conf").endswith("post-build-hook = /opt/theirs\n")


def test_lines_for_nix_conf_that_nix_cannot_read_are_named_before_they_are_written(machine: MakeMachine) -> None:
    plain = debian(machine, RECENT)
    nix.without_daemon(plain.machine)
    for lines, complaint in (
        ("cores = 2\nno setting at all", "extra-nix-conf: line 2: 'no setting at all' is not `name = value`"),
        ("# fine\nmax-jobs = many", "extra-nix-conf: line 2: 'max-jobs = many': "),
    ):
        done = Job(plain.machine, inputs={"extra-nix-conf": lines}).run("setup", check=False)
        assert done.returncode == 2
        assert complaint in done.stderr
        assert not plain.machine.exists("/etc/nix/nix-autocache.conf")
    job = Job(plain.machine, inputs={"extra-nix-conf": "cores = 2\nno-such-setting = 1"})
    assert "warning: extra-nix-conf: line 2: unknown setting 'no-such-setting'" in job.said("setup")
    assert "cores = 2" in job.machine.read("/etc/nix/nix-autocache.conf")


def test_a_full_disk_is_warned_of_by_the_name_of_the_directory(machine: MakeMachine) -> None:
    job = debian(machine, OLD)
    nix.without_daemon(job.machine)
    job.machine.sh("mkdir -p /var/lib/nix-autocache; mount -t tmpfs -o size=64m tmpfs /var/lib/nix-autocache")
    assert "are free in /var/lib/nix-autocache" in job.said("doctor")
