"""A Nix that is there already, on all three generations: with a daemon or without, trusted or not."""

from tests.conftest import MakeMachine
from tests.harness import nix
from tests.harness.job import Job, bare, debian
from tests.harness.roots import NEW, Generation
from tests.harness.waiting import wait_for

INCLUDE = "/etc/nix/nix-autocache.conf"
OWN_INCLUDE = "/home/runner/.config/nix/nix-autocache.conf"


def with_daemon(machine: MakeMachine, generation: Generation, *, sudo: bool = False, extra: str = "") -> Job:
    job = debian(machine, generation, "runner", sudo=sudo)
    nix.with_daemon(job.machine, extra)
    return job


def comes_through(job: Job) -> str:
    """Builds something, which must be in the cache after the job; what `finish` said."""
    path = job.build("something")
    said = job.said("finish")
    assert path in job.cached(), said
    return said


def test_with_sudo_the_machines_daemon_gets_the_hook(machine: MakeMachine, nix_generation: Generation) -> None:
    job = with_daemon(machine, nix_generation, sudo=True)
    job.set_up("existing-daemon")
    conf = job.machine.read(INCLUDE)
    assert "post-build-hook = /var/lib/nix-autocache/hook" in conf
    assert "extra-trusted-users = runner" in conf
    comes_through(job)
    assert not job.machine.exists(INCLUDE)
    assert job.machine.read("/etc/nix/nix.conf") == nix.CONFIG


def test_a_trusted_user_without_sudo_has_a_hook_of_its_own(machine: MakeMachine, nix_generation: Generation) -> None:
    job = with_daemon(machine, nix_generation, extra="trusted-users = root @runner\n")
    job.set_up("existing-trusted-user")
    assert "post-build-hook = /home/runner/.local/state/nix-autocache/hook" in job.machine.read(OWN_INCLUDE)
    comes_through(job)
    assert not job.machine.exists(OWN_INCLUDE)


def test_a_user_that_is_not_trusted_has_the_store_looked_through(
    machine: MakeMachine, nix_generation: Generation
) -> None:
    job = with_daemon(machine, nix_generation)
    earlier = job.build("earlier")
    said = job.set_up("existing-store-scan")
    assert "the nix-daemon does not trust this user" in said
    assert "2. a failed build keeps its finished dependencies: no, the daemon does not let this user set a hook" in said
    assert "1. dependencies need not be known to be pushed: yes" in said
    comes_through(job)
    assert earlier not in job.cached()


def test_a_store_of_the_users_own_needs_no_daemon(machine: MakeMachine, nix_generation: Generation) -> None:
    job = debian(machine, nix_generation, "runner")
    nix.without_daemon(job.machine, owner="runner")
    job.set_up("existing-single-user")
    comes_through(job)
    assert not job.machine.exists(OWN_INCLUDE)


def test_nix_that_never_had_its_daemon_started_gets_one_by_sudo(
    machine: MakeMachine, nix_generation: Generation
) -> None:
    job = debian(machine, nix_generation, "runner", sudo=True)
    job.machine.write("/etc/nix/nix.conf", nix.CONFIG)
    job.machine.sh("mkdir -p /nix/store /nix/var/nix")
    said = job.set_up("existing-daemon")
    assert "no daemon" in said
    comes_through(job)
    wait_for(lambda: not job.machine.processes(), "the end of every process")


def test_a_hook_that_does_not_fire_is_replaced_by_a_look_at_the_store(machine: MakeMachine) -> None:
    # The environment beats every file: this job's Nix has no hook, whatever we write.
    plain = debian(machine, NEW)
    nix.without_daemon(plain.machine)
    job = Job(plain.machine, env={"NIX_CONFIG": "post-build-hook ="})
    said = job.said("setup")
    assert "Nix did not call the post-build hook" in said
    comes_through(job)


def test_a_mode_that_the_machine_does_not_have_is_refused(machine: MakeMachine) -> None:
    job = bare(machine)
    assert Job(job.machine, inputs={"mode": "single-user"}).doctor()["mode"] == "single-user"
    done = Job(job.machine, inputs={"mode": "existing"}).run("setup", check=False)
    assert done.returncode == 3
    assert "mode: existing was asked for, but this machine has: no Nix" in done.stdout + done.stderr
