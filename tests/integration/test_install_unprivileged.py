"""A user without any right: Nix in a /nix that is theirs, or a refusal that says what to change."""

from tests.conftest import MakeMachine
from tests.harness.job import bare
from tests.harness.roots import Generation


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
