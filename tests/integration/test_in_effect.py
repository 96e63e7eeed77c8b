"""The settings that Nix uses after set-up, where other files and variables override ours; all three generations."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest

from tests.conftest import MakeMachine
from tests.harness import nix, programs
from tests.harness.job import BUILD, Job, debian
from tests.harness.machine import Machine
from tests.harness.roots import NEW, OLD, Generation

THEIRS = "substituters = file:///theirs\ntrusted-public-keys = theirs-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
USERS = "/root/.config/nix/nix.conf"
HOOK = "#!/bin/sh\necho $OUT_PATHS $DRV_PATH >>/tmp/%s\n"
UNREAD = "Nix does not read the cache: its `substituters` lack file:///w/cache"


def in_users_file(machine: Machine) -> None:
    """As `cachix use` and `attic use` write it."""
    machine.write(USERS, THEIRS)


def in_named_file(machine: Machine) -> None:
    machine.write("/w/named.conf", THEIRS)


def in_custom_file(machine: Machine) -> None:
    """Determinate Nix rewrites nix.conf, and includes the file for people's settings."""
    machine.sh("echo '!include nix.custom.conf' >>/etc/nix/nix.conf")
    machine.write("/etc/nix/nix.custom.conf", THEIRS)


def in_a_home_of_others(machine: Machine) -> None:
    machine.sh("mkdir -p /w/home; chown 1234 /w/home")
    machine.write(USERS, THEIRS)


Case = tuple[Callable[[Machine], object], Mapping[str, str], Mapping[str, str]]
NONE: Mapping[str, str] = MappingProxyType({})
MENDED: Mapping[str, Case] = {
    "extra-nix-conf": (lambda _: None, {"extra-nix-conf": THEIRS}, NONE),
    "the user's nix.conf": (in_users_file, NONE, NONE),
    "NIX_USER_CONF_FILES": (in_named_file, NONE, {"NIX_USER_CONF_FILES": "/w/named.conf:/w/none.conf"}),
    "a file beside nix.conf": (lambda _: None, NONE, {"NIX_USER_CONF_FILES": "/etc/nix/other.conf"}),
    "nix.custom.conf": (in_custom_file, NONE, NONE),
    "HOME of another user": (in_a_home_of_others, NONE, {"HOME": "/w/home"}),
}


def single_user(machine: MakeMachine, generation: Generation) -> Job:
    """For root, without a daemon, with a cache and its key in /w."""
    job = debian(machine, generation)
    nix.without_daemon(job.machine)
    job.machine.sh("mkdir /w")
    key = job.keygen()
    return Job(job.machine, inputs={"cache": "file:///w/cache", "signing-key": key})


@pytest.mark.parametrize("generation", [OLD, NEW])
def test_who_else_sets_substituters_does_not_keep_the_cache_from_being_read(
    machine: MakeMachine, generation: Generation
) -> None:
    plain = single_user(machine, generation)
    conf = plain.machine.read("/etc/nix/nix.conf")
    for number, (who, (prepare, inputs, env)) in enumerate(MENDED.items()):
        prepare(plain.machine)
        before = plain.machine.sh("cat /etc/nix/*.conf /root/.config/nix/*.conf /w/*.conf 2>/dev/null || true").stdout
        job = Job(plain.machine, inputs={**plain.inputs, **inputs}, env=env)
        said = job.said("setup")
        path = job.build(f"case-{number}")
        job.run("flush")
        job.sh(f"nix-store --delete {path}; rm -rf /root/.cache/nix /w/home/.cache")
        again = job.sh(f"nix-build --no-out-link --expr '{BUILD.format(name=f'case-{number}')}' 2>&1").stdout
        assert "copying path" in again, (who, said, again)
        assert "::warning" not in said, who
        assert "warning: Nix does not" not in said, who
        job.run("finish")
        after = plain.machine.sh("cat /etc/nix/*.conf /root/.config/nix/*.conf /w/*.conf 2>/dev/null || true").stdout
        assert after == before, who
        plain.machine.write("/etc/nix/nix.conf", conf)
        plain.machine.sh("rm -rf /root/.config /etc/nix/nix.custom.conf /w/named.conf")


def test_what_cannot_be_mended_is_said(machine: MakeMachine) -> None:
    job = single_user(machine, NEW)
    taken = Job(job.machine, inputs=job.inputs, env={"NIX_CONFIG": THEIRS})
    said = taken.said("setup")
    assert UNREAD in said, said
    assert "NIX_CONFIG in the environment of this job sets them: write there `extra-substituters = " in said, said
    assert "its `trusted-public-keys` lack test-1:" in said, said
    taken.run("finish")
    # As root with an /etc/nix that cannot be changed, and a user's file as home-manager makes it.
    job.machine.sh(
        "mkdir -p /w/etc /w/home-manager /root/.config/nix; touch /w/home-manager/nix.conf;"
        "mv /etc/nix/nix.conf /w/etc;"
        "ln -s $(nix-store --add /w/etc)/nix.conf /etc/nix/nix.conf;"
        f"ln -s $(nix-store --add /w/home-manager)/nix.conf {USERS}"
    )
    said = job.said("setup")
    assert "is in the Nix store, as NixOS and home-manager make it" in said, said
    assert UNREAD in said, said
    path = job.build("of-home-manager")
    assert "1 pushed" in job.said("finish")
    assert job.machine.sh("nix-store --verify --check-contents 2>&1").stdout.count("modified") == 0
    assert job.machine.sh(f"grep -l {path} /w/cache/*.narinfo").stdout


def test_hooks_that_others_configured_are_called_by_ours(machine: MakeMachine) -> None:
    job = single_user(machine, NEW)
    for who in ("given", "of-user"):
        job.machine.write(f"/w/{who}", HOOK % who, mode=0o755)
    job.machine.write(USERS, "post-build-hook = /w/of-user\n")
    given = Job(job.machine, inputs={**job.inputs, "extra-nix-conf": "post-build-hook = /w/given"})
    said = given.said("setup")
    assert "2. a failed build keeps its finished dependencies: yes" in said, said
    path = given.build("hooked")
    for who in ("given", "of-user"):
        assert path in job.machine.read(f"/tmp/{who}")
    assert "1 pushed" in given.said("finish")
    assert job.machine.read(USERS) == "post-build-hook = /w/of-user\n"


@pytest.mark.parametrize("generation", [OLD, NEW])
def test_a_job_goes_on_where_nix_builds_nothing_or_elsewhere(machine: MakeMachine, generation: Generation) -> None:
    job = single_user(machine, generation)
    for extra in ("max-jobs = 0", "sandbox = true\nextra-sandbox-paths = /no/such/file"):
        given = Job(job.machine, inputs={**job.inputs, "extra-nix-conf": extra})
        given.run("setup")
        assert "file:///w/cache" in job.machine.read("/etc/nix/nix-autocache.conf"), extra
        given.run("finish")
    job.machine.sh("mkdir /w/other")
    for name, value in {"NIX_REMOTE": "local?root=/w/other", "NIX_STORE_DIR": "/w/store"}.items():
        other = Job(job.machine, inputs=job.inputs, env={name: value})
        said = other.said("setup")
        assert f"not pushing: Nix builds into another store ({name}={value})" in said, said
        assert "NOT pushed" not in other.said("finish")


def test_a_users_own_substituters_do_not_take_the_cache_from_a_daemon(machine: MakeMachine) -> None:
    """Nix lets users that it does not trust choose among the daemon's substituters, so theirs count for both."""
    job = debian(machine, NEW, "runner", sudo=True)
    nix.with_daemon(job.machine)
    key = job.keygen()
    job.machine.write("/home/runner/key", key, mode=0o600, owner="runner")
    job.machine.write("/home/runner/.config/nix/nix.conf", THEIRS, owner="runner")
    job.machine.sh("chown -R runner: /home/runner/.config; install -d -o nobody /srv/cache")
    for name, harden in {"open": "false", "hardened": "true"}.items():
        inputs = {"cache": "file:///srv/cache", "signing-key": "file:/home/runner/key", "harden": harden}
        given = Job(job.machine, "runner", inputs, name=name)
        said = given.said("setup")
        assert "does not read" not in said, said
        shown = given.sh("nix config show substituters 2>/dev/null").stdout.split()
        assert shown == ["file:///theirs", "file:///srv/cache"], (name, shown)
        given.run("finish")
    assert job.machine.read("/home/runner/.config/nix/nix.conf").startswith(THEIRS)


@pytest.mark.parametrize("generation", [OLD, NEW])
def test_a_container_with_the_daemon_of_the_machine_around_it_goes_on(
    machine: MakeMachine, generation: Generation
) -> None:
    """As NixOS gives it to its runners' containers; root in it, and no process of the daemon to see."""
    job = single_user(machine, generation)
    nix.with_daemon(job.machine)
    job.build("warm")
    job.machine.write("/w/inside.sh", programs.source("inside_container.sh"))
    for name, spaces in {"inside-1": "--mount --pid --fork", "inside-2": "--mount"}.items():
        inside = Job(job.machine, inputs=job.inputs, env={"EXPRESSION": BUILD.format(name=name)})
        said = inside.sh(f"unshare {spaces} sh -eu /w/inside.sh 2>&1").stdout
        assert "the nix-daemon runs outside of this container, where it sees no hook of ours" in said, said
        assert "1 pushed" in said, said
    assert job.machine.sh("grep -h StorePath /w/cache/*.narinfo | grep -c inside").stdout.strip() == "2"


@pytest.mark.parametrize("generation", [OLD, NEW])
def test_what_a_later_step_takes_away_is_found_in_the_store_and_said(
    machine: MakeMachine, generation: Generation
) -> None:
    job = single_user(machine, generation)
    job.run("setup")
    job.build("hooked")
    job.sh(f"nix-build --no-out-link --option post-build-hook '' --expr '{BUILD.format(name='by-option')}'")
    said = job.said("flush")
    assert "1 paths, such as by-option, without calling our hook: a step or a command had settings of its own" in said
    assert "2 pushed" in said, said
    in_users_file(job.machine)
    job.sh(f"echo 'post-build-hook =' >>{USERS}")
    job.build("later")
    said = job.said("finish")
    assert "a later step changed Nix's settings, and `post-build-hook` is now empty" in said, said
    assert f"{UNREAD} (now: file:///theirs); a later step changed Nix's settings after set-up" in said, said
    assert job.machine.sh("grep -l later /w/cache/*.narinfo").stdout


@pytest.mark.parametrize("generation", [OLD, NEW])
def test_a_user_whom_the_daemon_shuts_out_is_told_of_allowed_users(
    machine: MakeMachine, generation: Generation
) -> None:
    job = debian(machine, generation, "runner")
    nix.with_daemon(job.machine, "allowed-users = somebody\n")
    done = job.run("setup", check=False)
    assert done.returncode == 3
    assert "a daemon that does not serve this user" in done.stderr
    assert "put this user into the daemon's allowed-users" in done.stderr


@pytest.mark.parametrize("generation", [OLD, NEW])
def test_a_user_whom_the_daemon_does_not_trust_is_told_that_the_cache_is_not_read(
    machine: MakeMachine, generation: Generation
) -> None:
    job = debian(machine, generation, "runner")
    daemon = nix.with_daemon(job.machine)
    key = job.run("keygen", "test-1")
    public = key.stderr.strip().rpartition(" ")[2]
    job = Job(job.machine, "runner", {"cache": "file:///tmp/cache", "signing-key": key.stdout.strip()})
    said = job.said("setup")
    assert "its `substituters` lack file:///tmp/cache" in said, said
    assert "the daemon does not trust this user: put the user into its trusted-users, or into its nix.conf" in said
    assert "ignoring" not in job.sh(f"nix-build --no-out-link --expr '{BUILD.format(name='one')}' 2>&1").stdout
    job.run("finish")
    daemon.kill()
    job.machine.sh(f"rm {nix.SOCKET}")  # or the next one would seem to be there already
    lines = f"trusted-substituters = file:///tmp/cache\nextra-trusted-public-keys = {public}\n"
    job.machine.write("/etc/nix/nix.conf", nix.CONFIG + lines)
    nix.start_daemon(job.machine)
    said = job.said("setup")
    assert "does not read" not in said, said
    assert "does not trust what is in the cache" not in said, said
    assert "file:///tmp/cache" in job.sh("nix --extra-experimental-features nix-command show-config 2>/dev/null").stdout
