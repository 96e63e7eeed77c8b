"""The release tarball and its hash, from a publisher that is slow, broken, private, behind a proxy, or lying."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from tests.conftest import MakeMachine
from tests.harness import certificates, programs
from tests.harness.commands import Process
from tests.harness.job import Job, bare
from tests.harness.machine import Machine
from tests.harness.release import Release, release
from tests.harness.roots import RECENT

DIRECTORY = f"/srv/nix/nix-{RECENT.nix}"
# What runs under sudo, and sudo itself, name the module in their arguments.
WATCH = """
until [ -e /tmp/enough ]; do
  for process in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$process; echo; done 2>/dev/null
done | grep nix_autocache.machine.root | grep -c 's3cre[t]'
"""


@cache
def tarball() -> Release:
    return release(RECENT)


@contextmanager
def publisher(machine: Machine, *options: str) -> Iterator[Process]:
    """A server of /srv at port 8000, or with `tls` as releases.nixos.org; its output names what it was asked for."""
    machine.sh(f"mkdir -p {DIRECTORY}; cp {tarball().bind().target} {DIRECTORY}/")
    with machine.start(programs.python("publisher.py", *options)) as process:
        process.wait_for_text("ready")
        yield process


def downloading(machine: MakeMachine, **inputs: str) -> Job:
    job = bare(machine)
    return Job(
        job.machine, inputs=inputs or {"nix-url": f"http://localhost:8000/{path()}", "nix-sha256": tarball().sha256}
    )


def path() -> str:
    return f"{DIRECTORY.removeprefix('/srv/')}/{tarball().path.name}"


def test_a_publisher_that_stumbles_is_asked_again(machine: MakeMachine) -> None:
    job = downloading(machine)
    with publisher(job.machine, "--stumble=2") as server:
        job.run("setup")
        assert server.text().count(f"GET /{path()} ") == 3


def test_a_wrong_hash_is_refused_and_nothing_of_it_is_used(machine: MakeMachine) -> None:
    job = downloading(machine)
    job = Job(job.machine, inputs={**job.inputs, "nix-sha256": "0" * 64})
    with publisher(job.machine):
        done = job.run("setup", check=False)
    assert done.returncode == 3
    assert f"has sha256 {tarball().sha256}, expected {'0' * 64}; nothing of it was used" in done.stderr
    assert job.machine.sh("ls -A /nix").stdout == ""
    job.run("undo")
    assert not job.machine.exists("/nix")
    assert "nixbld" not in job.machine.read("/etc/passwd")


def test_what_is_not_there_is_said_at_once(machine: MakeMachine) -> None:
    job = downloading(machine)
    job = Job(job.machine, inputs={**job.inputs, "nix-url": "http://localhost:8000/nothing.tar.xz"})
    with publisher(job.machine) as server:
        done = job.run("setup", check=False)
        assert server.text().count("GET ") == 1
    assert done.returncode == 3
    assert "cannot download http://localhost:8000/nothing.tar.xz: 404 File not found; `nix-url`" in done.stderr


def test_another_version_is_checked_by_the_hash_beside_it(machine: MakeMachine) -> None:
    job = downloading(machine, **{"nix-version": tarball().version})
    job.machine.sh("echo 127.0.0.1 releases.nixos.org >>/etc/hosts")
    authority = certificates.issue(job.machine, "releases.nixos.org").authority
    private = Job(job.machine, inputs=job.inputs, env={"SSL_CERT_FILE": authority})
    with publisher(job.machine, "--tls"):
        done = job.run("setup", check=False)
        assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
        done = private.run("setup", check=False)
        assert f"cannot download https://releases.nixos.org/{path()}.sha256: 404 File not found" in done.stderr
        job.machine.sh(f"cd {DIRECTORY}; echo {'0' * 64} >{tarball().path.name}.sha256")
        assert "nothing of it was used" in private.said("setup", check=False)
        job.machine.sh(f"cd {DIRECTORY}; sha256sum {tarball().path.name} >{tarball().path.name}.sha256")
        assert "installing Nix from https://releases.nixos.org/" in private.said("setup")


def test_a_proxy_of_the_usual_variables_is_used_and_its_password_is_in_no_argument(machine: MakeMachine) -> None:
    plain = bare(machine, user="runner", sudo=True)
    inputs = {"nix-url": f"http://far-away.example/{path()}", "nix-sha256": tarball().sha256}
    job = Job(plain.machine, "runner", inputs, {"http_proxy": "http://me:s3cret@localhost:8000"})
    with publisher(job.machine) as server:
        with job.machine.start(["sh", "-c", WATCH]) as watching:
            job.run("setup")
            job.machine.write("/tmp/enough", "")
            watching.wait()
            assert watching.text().strip() == "0"
        assert f"GET http://far-away.example/{path()} " in server.text()
