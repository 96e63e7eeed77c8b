"""`harden`: what is taken away, what is said of it, and that root gets all of it back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import events, programs, sealing, tools
from tests.harness.job import Job
from tests.harness.listing import listing
from tests.harness.machine import Machine
from tests.harness.programs import dotnet
from tests.harness.roots import Generation
from tests.harness.sealing import KEY, NOT_SOLVED, SOLVED
from tests.harness.waiting import wait_for

CLOSED = f"/run/docker.sock {dotnet.PORT} {dotnet.PIPE} /etc/cron.hourly /dev/sdz /opt /opt/agent /opt/agent/agent"
RIGHTS = f"stat -c '%a %U:%G %n' {CLOSED}; sudo -l -U runner"


def as_hosted(machine: Machine) -> None:
    """Opens what hosted runners leave open, and more."""
    machine.sh("groupadd docker; usermod --append --groups docker runner")
    machine.start(programs.python("docker_socket.py"))
    machine.sh("mkdir -p /usr/share/polkit-1/rules.d; chmod -R 777 /usr/share/polkit-1 /usr/share/dbus-1 || true")
    machine.sh("mkdir /etc/cron.hourly || true; chmod 777 /etc/cron.hourly; mknod -m 666 /dev/sdz b 7 99")
    machine.sh("mkdir /opt/agent; cp /bin/sleep /opt/agent/agent; chmod 777 /opt /opt/agent /opt/agent/agent")
    machine.start(["/opt/agent/agent", "600"])
    machine.start(programs.python("dotnet.py"), user="runner")
    # Rules that come after every file of sudoers.d, and a user whom Nix trusts.
    machine.sh("echo 'runner ALL=(ALL) NOPASSWD: ALL' >>/etc/sudoers; visudo -c -q")
    machine.sh("echo 'trusted-users = root runner' >>/etc/nix/nix.conf; pkill nix-daemon; nix-daemon >/dev/null 2>&1 &")
    wait_for(lambda: machine.exists("/run/docker.sock") and machine.exists(dotnet.PIPE), "the sockets")


def test_a_hardened_job_pushes_and_solves_limitation_4(nix_generation: Generation, tmp_path: Path) -> None:
    with sealing.job(tmp_path, nix_generation) as sealed:
        said = sealed.job.said("setup")
        assert SOLVED in said, said
        assert sealed.job.sh("sudo -n true", check=False).returncode
        path = sealed.job.build("something")
        said = sealed.job.said("finish")
        assert "1 pushed" in said, said
        assert sealed.cached()["something"]["StorePath"] == path
        assert sealed.cached()["something"]["Sig"].startswith("test-1:")


def test_a_second_set_up_of_a_hardened_job_leaves_the_first(tmp_path: Path) -> None:
    with sealing.job(tmp_path) as sealed:
        sealed.job.run("setup")
        said = sealed.job.said("setup")
        assert "this job is set up and hardened" in said, said
        assert SOLVED in said, said
        sealed.job.build("afterwards")
        assert "1 pushed" in sealed.job.said("finish")


def test_there_is_nothing_to_take_from_root(tmp_path: Path) -> None:
    with sealing.job(tmp_path) as sealed:
        job = Job(sealed.machine, inputs=sealed.job.inputs)
        said = job.said("setup")
        assert f"{NOT_SOLVED}the job's user is root, so its code could read the key" in said, said
        job.build("by-root")
        assert "1 pushed" in job.said("finish")


def test_what_hosted_runners_leave_open_is_closed_and_root_gets_it_back(tmp_path: Path) -> None:
    with sealing.job(tmp_path, prepare=as_hosted) as sealed:
        made = sealed.machine
        sealed.job.build("before")
        before, running = listing(made), len(made.processes())
        opened = made.sh(RIGHTS).stdout
        said = sealed.job.said("setup")
        assert SOLVED in said, said
        connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        for path in ("/run/docker.sock", dotnet.PORT):
            refused = made.run(["python3", "-c", connect, path], user="runner", check=False)
            assert "PermissionError" in refused.stderr
        assert sealed.attack(f"echo x >{dotnet.PIPE} & wait $!").returncode
        assert sealed.attack(f"rm -f {dotnet.PORT}").returncode, "another would be taken for the runner's"
        rules = "touch /usr/share/polkit-1/rules.d/x"
        agent = "mv /opt/agent /opt/other"
        for attack in ("sudo -n true", rules, agent, "touch /etc/cron.hourly/x /opt/agent/x", "cat /dev/sdz"):
            assert sealed.attack(attack).returncode, attack
        sealed.job.build("something")
        assert "1 pushed" in sealed.job.said("finish")
        assert sealed.job.run("undo", check=False).returncode == 3
        Job(made).run("undo")
        sealed.job.sh(f"sudo -n true; {rules}; rm /usr/share/polkit-1/rules.d/x")
        sealed.job.run("undo")
        made.write(KEY, sealed.key, mode=0o600, owner="runner")
        assert made.sh(RIGHTS).stdout == opened
        assert [line for line in listing(made) if "-something" not in line] == before
        wait_for(lambda: len(made.processes()) == running, "the end of every process of ours")


def unsandboxed(machine: Machine) -> None:
    machine.sh("echo 'sandbox = false' >>/etc/nix/nix.conf; pkill nix-daemon; nix-daemon >/dev/null 2>&1 &")


def another_job(machine: Machine) -> None:
    """Of the same user, with a queue of their own."""
    Job(machine, "runner", {"cache": "file:///home/runner/other"}, name="other").run("setup")


def key_with_two_names(machine: Machine) -> None:
    machine.sh(f"ln {KEY} /home/runner/other")


def nothing(machine: Machine) -> None:
    pass


@pytest.mark.parametrize(
    ("prepare", "inputs", "reason"),
    [
        (unsandboxed, {}, "builds are not always sandboxed"),
        (nothing, {"signing-key": "env:NIX_KEY"}, "signing-key: what began this job has it"),
        (
            nothing,
            {"cache": "file:///home/runner/cache"},
            "the cache is a directory that the job's user can write",
        ),
        (key_with_two_names, {}, "cannot be taken"),
        (another_job, {}, "the job's user can change what the uploader works on, "),
    ],
    ids=["unsandboxed", "key as text", "own cache", "key with two names", "another job"],
)
def test_what_harden_cannot_take_away_is_named(
    prepare: Callable[[Machine], object], inputs: dict[str, str], reason: str, tmp_path: Path
) -> None:
    with sealing.job(tmp_path, inputs=inputs) as sealed:
        prepare(sealed.machine)
        job = Job(sealed.machine, "runner", sealed.job.inputs, env={"NIX_KEY": sealed.key})
        said = job.said("setup")
        assert NOT_SOLVED in said, said
        assert reason in said.partition(NOT_SOLVED)[2], said


def test_a_fork_whose_code_could_reach_the_key_gets_pull_only_and_the_key_is_not_even_read(tmp_path: Path) -> None:
    """A key that is none would be complained of."""
    with sealing.job(tmp_path) as sealed:
        unsandboxed(sealed.machine)
        sealed.machine.write(KEY, "no key", owner="runner")
        job = Job(sealed.machine, "runner", sealed.job.inputs, env={"CI": "true"})
        said = job.said("setup")
        assert "is not trusted, and the key would be in its reach" in said, said
        assert sealed.machine.read(KEY) == "no key"
        assert job.sh("sudo -n true", check=False).returncode


SETTING = "/proc/sys/kernel/yama/ptrace_scope"
YAMA = "/run/yama"
GUARDED = "/opt/guarded"


def with_yama(machine: Machine) -> None:
    """The program as it sees a kernel with Yama, whose setting a plain file stands for: the tests' kernel has none,
    and with anything mounted over /proc Nix's sandbox does not work."""
    machine.write(YAMA, "0\n")
    machine.sh(f"cp -r {tools.TARGET} {GUARDED}")
    files = machine.sh(f"grep -rl --include='*.py' {SETTING} {GUARDED}/src").stdout.split()
    machine.run(["sed", "-i", f"s,{SETTING},{YAMA},", *files])


def test_a_forks_code_pushes_from_a_sealed_job_on_a_hosted_runner(tmp_path: Path) -> None:
    with sealing.job(tmp_path, prepare=with_yama) as sealed:
        sealed.machine.write("/tmp/event.json", (events.GITHUB / "pull_request-fork.json").read_text())
        env = {
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_EVENT_PATH": "/tmp/event.json",
            "RUNNER_ENVIRONMENT": "github-hosted",
            "PYTHONPATH": f"{GUARDED}/src",
        }
        job = Job(sealed.machine, "runner", sealed.job.inputs, name="fork", env=env)
        said = job.said("setup")
        assert SOLVED in said, said
        assert sealed.machine.read(YAMA) == "1"
        job.build("of-a-fork")
        assert "1 pushed" in job.said("finish")
        Job(sealed.machine, env={"PYTHONPATH": f"{GUARDED}/src"}).run("undo")
        assert sealed.machine.read(YAMA) == "0"


@pytest.mark.parametrize(("name", "value"), [("signing-key", "env:NIX_KEY"), ("harden", "false")])
def test_a_forks_code_does_not_push_from_a_job_that_is_not_sealed(name: str, value: str, tmp_path: Path) -> None:
    with sealing.job(tmp_path, prepare=with_yama) as sealed:
        inputs = {**sealed.job.inputs, name: value}
        env = {"GITHUB_EVENT_NAME": "issue_comment", "RUNNER_ENVIRONMENT": "github-hosted", "NIX_KEY": sealed.key}
        env["PYTHONPATH"] = f"{GUARDED}/src"
        said = Job(sealed.machine, "runner", inputs, name="fork", env=env).said("setup")
        assert "pull only: issue_comment of unknown origin is not trusted" in said, said
        assert sealed.machine.exists(KEY)
