"""The Nix that a hardened job was set up with is found where its user can change it."""

from pathlib import Path

from tests.harness import sealing
from tests.harness.job import Job
from tests.harness.sealing import SOLVED, Sealed

PROFILES = "/nix/var/nix/profiles/per-user/runner"
NIX = ("nix", "nix-store", "nix-build", "nix-instantiate")
EVIL = """#!/bin/sh
id -un >>/tmp/ran-as
exec /usr/bin/nix-daemon "$@"
"""


def with_profile(sealed: Sealed) -> Job:
    """As `nix profile install` leaves it: first on PATH, links of the user's own to programs that are not."""
    made = sealed.machine
    made.sh(f"install -d -o runner {PROFILES}")
    links = "; ".join(f"ln -s /usr/bin/{name} bin" for name in (*NIX, "nix-daemon"))
    made.sh(f"mkdir -p {PROFILES}/one/bin; cd {PROFILES}/one; {links}; ln -s one ../profile", user="runner")
    path = f"{PROFILES}/profile/bin:/usr/local/bin:/usr/bin:/bin"
    return Job(made, "runner", sealed.job.inputs, env={"PATH": path})


def test_a_profile_that_is_turned_round_does_not_make_the_uploader_run_it(tmp_path: Path) -> None:
    with sealing.job(tmp_path) as sealed:
        job = with_profile(sealed)
        said = job.said("setup")
        assert SOLVED in said, said
        sealed.machine.write("/tmp/evil", EVIL, mode=0o755)
        links = "; ".join(f"ln -s /usr/bin/{name} bin" for name in NIX)
        script = f"mkdir -p {PROFILES}/two/bin; cd {PROFILES}/two; {links}; cp /tmp/evil bin/nix-daemon"
        assert sealed.attack(f"{script}; ln -sfn two ../profile").returncode == 0
        job.build("something")
        assert "1 pushed" in job.said("finish")
        assert "nix-autocache" not in sealed.machine.sh("cat /tmp/ran-as || true").stdout


def test_a_nix_of_the_users_own_is_named(tmp_path: Path) -> None:
    with sealing.job(tmp_path) as sealed:
        copies = "; ".join(f"cp -P /usr/bin/{name} bin" for name in (*NIX, "nix-daemon"))
        sealed.machine.sh(f"mkdir bin; {copies}", user="runner")
        job = Job(sealed.machine, "runner", sealed.job.inputs, env={"PATH": "/home/runner/bin:/usr/bin:/bin"})
        said = job.said("setup")
        assert SOLVED not in said, said
        assert "the job's user can change the Nix that the uploader and root run, /home/runner/bin/" in said, said


def test_the_uploader_leaves_no_bytecode_that_it_would_load_again(tmp_path: Path) -> None:
    with sealing.sealed(tmp_path) as sealed:
        sealed.job.build("something")
        assert "1 pushed" in sealed.job.said("finish")
        assert not sealed.machine.sh("find / -xdev -user nix-autocache -name '*.pyc' 2>/dev/null || true").stdout
