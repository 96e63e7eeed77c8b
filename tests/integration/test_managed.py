"""Provisioned machines: jobs without sudo, secrets or inputs, whose builds a service signs and uploads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import act, binary_cache, graphs, nix, product, programs, servers, systemd
from tests.harness.act import Workflow
from tests.harness.job import BUILD, STATE, Job
from tests.harness.listing import listing
from tests.harness.machine import Machine
from tests.harness.provisioned import CREDENTIALS, KEY, NEW_KEY, configure
from tests.harness.roots import RECENT
from tests.harness.servers import Server
from tests.harness.waiting import wait_for

WORKFLOW = """
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - uses: nix-autocache/nix-autocache@v1
      - run: nix-build --no-out-link /home/runner/project/default.nix
"""


def signers(server: Server) -> dict[str, str]:
    """The name of the key that signed each path in the bucket."""
    return {
        name: info["Sig"].partition(":")[0] for name, info in binary_cache.narinfos(server.directory / "bucket").items()
    }


def thefts(machine: Machine) -> str:
    """All that the job's user reads of files, processes and logs; no process shows them the key."""
    stolen = machine.run(programs.shell("thefts.sh"), user="runner").stdout
    assert "every way was tried" in stolen
    reading = programs.python("read_processes.py", str(KEY).partition(":")[2])
    assert machine.run(reading, user="runner").stdout.startswith("\n")
    return stolen


@pytest.fixture
def booted() -> Iterator[Machine]:
    shared = [bind for bind in product.binds() if bind.target not in {each.target for each in act.binds()}]
    with systemd.SystemdMachine(systemd.root(), [*act.binds(), *shared]) as made:
        made.write("/etc/nix/nix.conf", nix.CONFIG)
        made.add_user("runner")
        yield made


@pytest.fixture
def server(booted: Machine, tmp_path: Path) -> Iterator[Server]:
    with servers.rclone_s3(booted, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        yield server


def test_a_service_signs_what_jobs_build_that_have_no_secret(booted: Machine, server: Server) -> None:
    configure(booted, server.url)
    Job(booted).run("provision")
    text = {".github/workflows/w.yml": WORKFLOW, "default.nix": BUILD.format(name="by-the-action")}
    act.git_project(booted, "/home/runner/project", text, user="runner")
    outcome = act.act(booted, Workflow("/home/runner/project", user="runner"))
    assert outcome.returncode == 0, outcome.text
    assert "mode managed" in outcome.log
    assert "4. the pipeline's code cannot take the key or poison the cache: yes" in outcome.log, outcome.log
    assert "1 pushed" in outcome.log
    assert signers(server) == {"by-the-action": "machine-1"}
    stolen = thefts(booted)
    assert "machine-1" in stolen  # its public half, from nix.conf
    assert str(KEY).partition(":")[2][:43] not in stolen
    assert servers.SECRET_KEY not in stolen
    booted.run(
        ["nix-store", "--delete", binary_cache.narinfos(server.directory / "bucket")["by-the-action"]["StorePath"]]
    )
    booted.sh("rm -rf /root/.cache/nix /home/runner/.cache/nix")  # where Nix noted that it was not there
    again = booted.sh("nix-build --no-out-link --max-jobs 0 /home/runner/project/default.nix", user="runner").stderr
    assert "copying path" in again


def test_jobs_at_once_wait_for_what_they_built(booted: Machine, server: Server) -> None:
    configure(booted, server.url)
    Job(booted).run("provision")
    jobs = [Job(booted, "runner", name=name) for name in ("first", "second")]
    for job in jobs:
        job.set_up("managed")
    paths = [job.build(job.name) for job in jobs]
    with jobs[0].start("finish") as one, jobs[1].start("finish") as two:
        assert (one.wait(), two.wait()) == (0, 0), one.text() + two.text()
    assert set(signers(server)) == {binary_cache.name_of(path) for path in paths}
    assert Job(booted, "runner").doctor()["mode"] == "managed"
    fork = {"GITHUB_EVENT_NAME": "pull_request_target"}
    assert "warning" not in Job(booted, "runner", env=fork, name="third").said("setup")
    booted.add_user("admin", sudo=True)
    said = Job(booted, "admin", env=fork, name="fourth").said("setup")
    assert "which is not trusted and could reach the key: the job's user becomes root by sudo" in said
    assert "key or poison the cache: no, the job's user becomes root by sudo" in said
    Job(booted).run("undo")
    assert not booted.exists(nix.SOCKET)
    assert booted.sh("ls /etc/systemd/system | grep nix || true").stdout == ""
    assert booted.sh("ls -d /etc/nix/nix-autocache* /var/lib/nix-autocache || true", check=False).stdout == ""


def test_a_new_key_is_used_at_once_and_what_failed_is_tried_again(booted: Machine, server: Server) -> None:
    configure(booted, server.url)
    root, runner = Job(booted), Job(booted, "runner", name="job")
    root.run("provision")
    with restarting(booted):
        booted.write("/etc/nix-autocache/aws", CREDENTIALS.replace(servers.SECRET_KEY, "no"), mode=0o600)
    runner.run("setup")
    runner.build("early")
    said = runner.said("flush")
    assert "are the credentials right" in said

    with restarting(booted):
        booted.write("/etc/nix-autocache/key", str(NEW_KEY), mode=0o600)
        booted.write("/etc/nix-autocache/aws", CREDENTIALS, mode=0o600)
    runner.build("late")
    assert "2 pushed" in runner.said("flush")
    assert signers(server) == {"early": "machine-2", "late": "machine-2"}
    with restarting(booted):
        booted.sh("systemctl reload nix-autocache")
    runner.build("later")
    assert "3 pushed" in runner.said("finish")


def test_what_another_user_adds_to_a_path_does_not_hold_back_a_job(machine: MakeMachine, tmp_path: Path) -> None:
    """One signature that is not UTF-8 once ended the uploads of all jobs of a machine, for ever."""
    made = machine(RECENT, product.binds())
    for user in ("runner", "guest"):
        made.add_user(user)
    nix.with_daemon(made)
    root, runner, guest = Job(made), Job(made, "runner"), Job(made, "guest")
    root.run("--version")
    with servers.rclone_s3(made, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        configure(made, server.url)
        root.run("provision")
        runner.set_up("managed")
        path = guest.sh("echo source >~/source; nix-store --add ~/source").stdout.strip()
        made.run(programs.python("add_signatures.py", path, "6576696c2d313afffe"), user="guest")
        made.write("/tmp/guest.nix", graphs.using(path))
        guest.sh("nix-build --no-out-link /tmp/guest.nix")
        runner.build("innocent")
        runner.run("finish", "--flush-timeout", "30")
        assert signers(server).keys() >= {"innocent", "source"}


def test_a_service_that_hangs_is_started_again(booted: Machine, server: Server) -> None:
    configure(booted, server.url)
    root, runner = Job(booted), Job(booted, "runner")
    root.run("provision")
    said = booted.sh("systemctl show -p WatchdogUSec nix-autocache").stdout
    assert said.strip() == "WatchdogUSec=5min"
    with restarting(booted):
        booted.write("/etc/systemd/system/nix-autocache.service.d/quick.conf", "[Service]\nWatchdogSec=3\n")
        assert booted.sh("systemctl is-active nix-autocache.socket").stdout.strip() == "active"  # the reader's
        booted.sh("systemctl daemon-reload; systemctl restart nix-autocache")
    runner.set_up("managed")
    before = uploader(booted)
    with restarting(booted):
        booted.run(["kill", "-STOP", str(before)])
    runner.build("afterwards")
    assert "1 pushed" in runner.said("finish")


def test_without_systemd_a_keeper_does_the_same(machine: MakeMachine, tmp_path: Path) -> None:
    made = machine(RECENT, product.binds())
    made.add_user("runner")
    nix.with_daemon(made)
    root, runner = Job(made), Job(made, "runner")
    root.run("--version")
    runner.build("before")
    with servers.rclone_s3(made, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        configure(made, server.url)
        made.sh("install -d -o runner /home/runner/.local /home/runner/.local/share")
        before, running = listing(made), len(made.processes())
        root.run("provision")
        root.run("provision")
        runner.set_up("managed")
        made.run(["kill", "-KILL", str(uploader(made))])
        runner.build("something")
        assert "1 pushed" in runner.said("finish")
        assert signers(server) == {"something": "machine-1"}
        stolen = thefts(made)
        assert str(KEY).partition(":")[2][:43] not in stolen
        made.run([f"{STATE}/undo"])
        runner.run("undo")
        assert [line for line in listing(made) if "-something" not in line] == before
        wait_for(lambda: len(made.processes()) == running, "the end of every process of ours")


@contextmanager
def restarting(machine: Machine) -> Iterator[None]:
    """Ends when another uploader than before runs."""
    before = uploader(machine)
    yield
    wait_for(lambda: uploader(machine) not in {before, 0}, "another uploader", 15)


def uploader(machine: Machine) -> int:
    """The number of its process; 0 while there is none."""
    return next((each.pid for each in machine.processes() if each.user == "nix-autocache"), 0)


def test_a_cache_directory_that_is_not_there_yet_is_made_for_the_service(booted: Machine) -> None:
    """With a blank in its name; what the service cannot see is refused."""
    booted.write("/etc/nix-autocache/key", str(KEY), mode=0o600)
    root, runner = Job(booted), Job(booted, "runner", name="job")
    for url, status in (("file:///home/ci/cache", 2), ("file:///srv/new/our%20cache", 0)):
        text = f'cache = "{url}"\nsigning-key = "file:/etc/nix-autocache/key"\n'
        booted.write("/etc/nix-autocache.toml", text, mode=0o600)
        done = root.run("provision", check=False)
        assert done.returncode == status, done.stdout + done.stderr
    assert "warning" not in done.stdout + done.stderr
    assert booted.sh("stat -c '%U %a' '/srv/new/our cache' /srv/new").stdout == "nix-autocache 755\nroot 755\n"
    runner.set_up("managed")
    path = runner.build("something")
    assert "1 pushed" in runner.said("finish")
    assert path in booted.sh("cat '/srv/new/our cache/'*.narinfo").stdout
