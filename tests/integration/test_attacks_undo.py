"""`undo` and `harden` change what is theirs, whatever the job's user does meanwhile, and root since then."""

from pathlib import Path

import pytest

from tests.harness import programs, sealing
from tests.harness.job import STATE, Job
from tests.harness.listing import listing
from tests.harness.machine import Machine
from tests.harness.sealing import KEY, SOLVED
from tests.harness.waiting import wait_for

VICTIM = "stat -c '%a %U %n' /srv/victim /srv/victim/* | sort"
UNDO = f"{STATE}/undo"


def test_root_is_led_nowhere_by_what_a_user_turns_round_meanwhile(tmp_path: Path) -> None:
    with sealing.sealed(tmp_path) as sealed:
        made, steps = sealed.machine, f"{sealed.job.directory()}/steps"
        made.sh(
            "mkdir -m 755 /srv/victim; install -m 644 /etc/hostname /srv/victim/file; mkdir -m 751 /srv/victim/inner"
        )
        before = made.sh(VICTIM).stdout
        assert sealed.python("deep_directory.py", steps).returncode == 0
        with made.start(programs.python("swap.py", steps, "/srv/victim"), user="runner") as swapping:
            wait_for(lambda: "ready" in swapping.text(), "the directories", 30)
            made.run([UNDO], timeout=100)
            assert made.sh(VICTIM).stdout == before
            assert not made.exists(STATE)
            wait_for(lambda: not swapping.running(), "the end of the directory", 30)


SUDOERS = "contractor ALL=(ALL) NOPASSWD: ALL\nrunner ALL=(ALL) NOPASSWD: ALL"


@pytest.mark.parametrize("end", ["\n", ""], ids=["a last line", "a last line without its end"])
def test_what_root_took_from_others_meanwhile_stays_taken(tmp_path: Path, end: str) -> None:
    def prepare(machine: Machine) -> None:
        machine.write("/etc/sudoers", machine.read("/etc/sudoers") + SUDOERS + end, mode=0o440)

    with sealing.job(tmp_path, prepare=prepare) as sealed:
        made, text = sealed.machine, sealed.machine.read("/etc/sudoers")
        assert SOLVED in sealed.job.said("setup")
        assert made.read("/etc/sudoers") != text
        made.sh("sed -i /^contractor/d /etc/sudoers; echo 'admin ALL=(ALL) ALL' >>/etc/sudoers; visudo -cq")
        Job(made).run("undo")
        rest = text.replace("contractor ALL=(ALL) NOPASSWD: ALL\n", "")
        assert made.read("/etc/sudoers") == rest.rstrip("\n") + "\nadmin ALL=(ALL) ALL\n"
        sealed.job.sh("sudo -n true")


def test_undo_brings_back_no_right_that_root_has_changed_since(tmp_path: Path) -> None:
    """A file that lies there instead has its own."""

    def prepare(machine: Machine) -> None:
        machine.sh("mkdir -m 777 /etc/open /etc/changed /etc/replaced; chown runner /etc/changed /etc/replaced")

    with sealing.sealed(tmp_path, prepare=prepare) as sealed:
        made = sealed.machine
        assert made.sh("stat -c '%a %U' /etc/open /etc/changed").stdout == "755 root\n755 root\n"
        made.sh("chmod 700 /etc/changed; mv /etc/replaced /etc/kept; mkdir -m 711 /etc/replaced")
        Job(made).run("undo")
        rights = made.sh("stat -c '%a %U' /etc/open /etc/changed /etc/replaced").stdout
        assert rights == "777 root\n700 root\n711 root\n"


OWN = {"a home": "/home/runner", "a checkout": "/srv/work/project", "a directory for all files of a job": "/srv/temp"}


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_what_root_runs_from_a_users_own_directory_is_named_and_the_directory_left(own: str, tmp_path: Path) -> None:
    def prepare(machine: Machine) -> None:
        machine.sh(f"mkdir -p {own}/tools; cp /bin/sleep {own}/tools/agent; chown -R runner {own} /srv")
        machine.start([f"{own}/tools/agent", "600"])
        wait_for(lambda: any("tools/agent" in each.argv[0] for each in machine.processes()), "the agent")

    with sealing.job(tmp_path, prepare=prepare) as sealed:
        env = {"GITHUB_WORKSPACE": "/srv/work/project", "RUNNER_TEMP": "/srv/temp"}
        job = Job(sealed.machine, "runner", sealed.job.inputs, env=env)
        said = job.said("setup")
        assert SOLVED not in said, said
        assert f"the job's user can change what root runs, {own}" in said.replace(f"{own}/tools/agent", own), said
        job.sh(f"touch {own}/file {own}/tools/file")
        assert job.sh("sudo -n true", check=False).returncode
        job.build("something")
        assert "1 pushed" in job.said("finish")


def rights(machine: Machine) -> str:
    return machine.sh("stat -c '%a %U %n' /etc/open; sudo -l -U runner; cat /etc/sudoers").stdout


def opened(machine: Machine) -> None:
    machine.sh("mkdir -m 777 /etc/open; echo 'runner ALL=(ALL) NOPASSWD: ALL' >>/etc/sudoers")


def test_a_set_up_that_fails_after_hardening_gives_root_back(tmp_path: Path) -> None:
    """The key is refused by the uploader only, when root is gone."""
    with sealing.job(tmp_path, prepare=opened) as sealed:
        sealed.job.build("before")
        before, files = rights(sealed.machine), listing(sealed.machine)
        sealed.machine.write(KEY, "test-1:no-key", mode=0o600, owner="runner")
        done = sealed.job.run("setup", check=False)
        assert done.returncode == 2, done.stdout + done.stderr
        assert rights(sealed.machine) == before
        sealed.job.sh("sudo -n true")
        sealed.job.run("undo")
        assert listing(sealed.machine) == files


def test_a_set_up_that_is_killed_after_hardening_gives_root_back_and_no_key(tmp_path: Path) -> None:
    with sealing.job(tmp_path, prepare=opened) as sealed:
        made = sealed.machine
        before = rights(made)
        with sealed.job.start("setup") as setup:
            wait_for(lambda: made.exists(f"{STATE}/hardened.json"), "the hardening", 30)
            for each in made.processes():
                if "nix_autocache.cli.bootstrap" in each.argv and each.user == "runner":
                    made.run(["kill", "-KILL", str(each.pid)], check=False)
            setup.wait()
        wait_for(lambda: not made.exists(f"{STATE}/hardened.json"), "what was taken to be given back", 30)
        assert rights(made) == before
        assert not [each for each in made.processes() if each.user == "nix-autocache"]


MOUNTED = "grep -c ' /usr ' /proc/self/mountinfo || true"


def test_what_is_mounted_since_another_boot_is_not_ours(tmp_path: Path) -> None:
    """As /usr is on a machine that has it on a disk of its own."""

    def prepare(machine: Machine) -> None:
        machine.sh("mkdir -m 777 /usr/share/open")

    with sealing.sealed(tmp_path, prepare=prepare) as sealed:
        made = sealed.machine
        assert made.sh(MOUNTED).stdout == "1\n"
        made.sh(f"sed -i s/$(cat /proc/sys/kernel/random/boot_id)/another/ {STATE}/hardened.json")
        made.run([UNDO])
        assert made.sh(MOUNTED).stdout == "1\n"


def test_what_root_has_mounted_meanwhile_stays(tmp_path: Path) -> None:
    rules = "/usr/share/polkit-1/rules.d"
    prepare = f"mkdir -p {rules} /usr/share/mine; chmod 777 {rules}"
    with sealing.job(tmp_path, prepare=lambda machine: machine.sh(prepare)) as sealed:
        made = sealed.machine
        assert SOLVED in sealed.job.said("setup")
        made.sh("mount -t tmpfs none /usr/share/mine; touch /usr/share/mine/file")
        assert sealed.attack(f"touch {rules}/x").returncode
        Job(made).run("undo")
        assert made.exists("/usr/share/mine/file")
        sealed.job.sh(f"touch {rules}/x")
