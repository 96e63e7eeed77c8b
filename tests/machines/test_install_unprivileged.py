"""A user without any right: Nix in a /nix that is theirs, or a refusal that says what to change."""

from tests.conftest import MakeMachine
from tests.ground import nix, tool
from tests.ground.roots import RECENT, Generation
from tests.machines.installing import bare


def test_nix_is_installed_for_the_user_that_owns_the_directory(
    machine: MakeMachine, nix_generation: Generation
) -> None:
    job = bare(machine, nix_generation, "runner")
    job.machine.sh("install -d -o runner /nix")
    job.set_up("single-user")
    path = job.build("something")
    assert job.machine.run(["stat", "--format=%U", path]).stdout == "runner\n"
    assert "1 pushed" in job.said("finish")
    assert path in job.cached()
    job.run("undo")
    assert job.machine.sh("ls -A /nix").stdout == ""


def test_without_a_directory_for_it_the_refusal_names_both_ways_out(machine: MakeMachine) -> None:
    job = bare(machine, user="runner")
    for verb in ("doctor", "setup"):
        done = job.run(verb, check=False)
        (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "error: " in line]
        assert done.returncode == 3
        assert "not root, no sudo" in line
        assert "/nix cannot be made ours" in line
        assert "sudo without a password" in line
        assert "install -d -o USER /nix" in line
    assert not job.machine.exists("/nix")
    assert not job.machine.exists("/home/runner/.local/state")


def test_a_number_without_an_account_is_told_in_one_line_that_nix_needs_one(machine: MakeMachine) -> None:
    """As a pod may run; Nix looks for the user's home in the accounts only."""
    made = machine(RECENT, tool.binds())
    nix.without_daemon(made)
    made.sh("chown -R 12345 /nix; mkdir -m 777 /home/nobody")
    tool.Tool(made).run("--version")
    command = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", *tool.CLI, "setup"]
    done = made.run(command, env={**tool.environment(), "HOME": "/home/nobody"}, check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "cannot determine user's home directory" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
