"""Nix installed for every user, where no systemd runs: by sudo, by root in a container, with whatever userland."""

import pytest

from tests.conftest import MakeMachine
from tests.harness import busybox, container
from tests.harness.job import PROFILE, STATE, Job, bare
from tests.harness.machine import Machine
from tests.harness.roots import NEW, Generation
from tests.harness.waiting import wait_for

LOG = f"{STATE}/daemon.log"


def daemons(machine: Machine) -> list[int]:
    """The daemon itself, and its children for a connection, whose titles name the peer."""
    return [process.pid for process in machine.processes() if process.argv[:1] and "nix-daemon" in process.argv[0]]


@pytest.mark.every_value
@pytest.mark.parametrize("user", ["runner", "root"])
def test_a_build_by_the_jobs_user_is_made_by_a_daemon_and_gets_into_the_cache(
    machine: MakeMachine, nix_generation: Generation, user: str
) -> None:
    job = bare(machine, nix_generation, user, sudo=True)
    job.set_up("multi-user")
    path = job.build("something")
    assert job.machine.run(["stat", "--format=%U", path]).stdout == "root\n"
    assert job.machine.run(["stat", "--format=%U:%G %a", "/nix/store"]).stdout == "root:nixbld 1775\n"
    assert "nixbld1" in job.machine.read("/etc/group")
    assert "1 pushed" in job.said("finish")
    assert path in job.cached()
    wait_for(lambda: not job.machine.processes(), "the end of every process")


def test_a_user_without_any_right_builds_through_the_daemon(machine: MakeMachine) -> None:
    job = bare(machine, user="runner", sudo=True)
    job.machine.add_user("guest")
    job.run("setup")
    path = Job(job.machine, user="guest").build("of-a-guest")
    assert "1 pushed" in job.said("finish")
    assert path in job.cached()


def test_a_daemon_that_dies_is_started_again_and_its_log_is_kept(machine: MakeMachine) -> None:
    job = bare(machine, user="runner", sudo=True)
    job.run("setup")
    (before,) = daemons(job.machine)
    job.machine.run(["kill", "-KILL", str(before)])
    path = job.build("afterwards")
    assert daemons(job.machine) != [before]
    assert "it is started again" in job.machine.read(LOG)
    job.run("finish")
    assert path in job.cached()
    assert job.machine.exists(LOG)


def test_nobody_is_refused_while_the_daemon_is_restarted(machine: MakeMachine) -> None:
    job = bare(machine, user="runner", sudo=True)
    job.run("setup")
    script = "n=0; until [ -e /tmp/enough ]; do nix-store -q --size /nix/store/*-nix-2*/ >/dev/null; n=$((n+1)); done"
    with job.machine.start(["sh", "-euc", script], user="runner", env=job.environment()) as asking:
        for other in ("second", "third"):
            Job(job.machine, user="runner", inputs={**job.inputs, "cache": f"/tmp/{other}"}, name=other).run("setup")
        job.machine.write("/tmp/enough", "")
        wait_for(lambda: not asking.running(), "the end of the questions")
        assert asking.wait() == 0, asking.text()


def test_a_container_without_namespaces_builds_unsandboxed_with_one_warning(machine: MakeMachine) -> None:
    job = bare(machine, NEW)
    job = Job(container.unprivileged(job.machine), inputs=job.inputs)
    said = job.set_up("multi-user")
    assert "no namespaces" in said
    assert said.count("warning: ") == 1
    assert "builds are not sandboxed" in said
    path = job.build("unsandboxed")
    job.run("finish")
    assert path in job.cached()


def test_users_can_be_made_by_busybox(machine: MakeMachine) -> None:
    job = bare(machine)
    busybox.make_accounts(job.machine)
    before = job.machine.read("/etc/passwd"), job.machine.read("/etc/group")
    job.set_up("multi-user")
    assert "nixbld:" in job.machine.read("/etc/group")
    path = job.build("by-a-busybox-user")
    job.run("finish")
    assert path in job.cached()
    job.run("undo")
    assert (job.machine.read("/etc/passwd"), job.machine.read("/etc/group")) == before


def test_kvm_is_opened_for_builds_and_closed_again(machine: MakeMachine) -> None:
    job = bare(machine, user="runner", sudo=True)
    job.machine.sh("mknod -m 660 /dev/kvm c 10 232")
    job.run("setup")
    assert job.machine.run(["stat", "--format=%a", "/dev/kvm"]).stdout == "666\n"
    job.run("undo")
    assert job.machine.run(["stat", "--format=%a", "/dev/kvm"]).stdout == "660\n"


def test_a_token_reaches_nix_and_no_other_user(machine: MakeMachine) -> None:
    job = bare(machine, user="runner", sudo=True)
    job = Job(job.machine, "runner", {**job.inputs, "github-token": "ghp_secret"})
    job.run("setup")
    own = "/home/runner/.config/nix/nix-autocache.conf"
    assert "extra-access-tokens = github.com=ghp_secret" in job.machine.read(own)
    assert job.machine.run(["stat", "--format=%U %a", own]).stdout == "runner 600\n"
    everywhere = "/etc /nix/var /var/lib/nix-autocache"
    assert job.machine.sh(f"grep -rl ghp_secret {everywhere} || true").stdout == ""
    job.run("finish")
    assert not job.machine.exists(own)


def test_secrets_in_extra_nix_conf_reach_nix_and_no_other_user(machine: MakeMachine) -> None:
    """The daemon gets a password in a URL, the user's own Nix the tokens; a Nix that may not read a file goes on."""
    conf = """extra-access-tokens = github.com=ghp_mine  # once: gitlab.com=PAT:glpat_old
      access-tokens = gitlab.com=PAT:glpat_mine
      extra-substituters = http://me:pass_word@127.0.0.1:9/ http://127.0.0.1:9/?token=par_ameter
      connect-timeout = 1"""
    job = bare(machine, user="runner", sudo=True)
    given = {**job.inputs, "extra-nix-conf": conf, "github-token": "ghs_ofthisserver"}
    github = {"GITHUB_SERVER_URL": "https://git.example.com:8443/", "GITHUB_API_URL": "https://git.example.com/api/v3"}
    job = Job(job.machine, "runner", given, github, name="one")
    job.machine.add_user("other")
    said = job.said("setup")
    show = "nix --extra-experimental-features nix-command show-config"
    own = job.sh(show).stdout
    tokens = next(line for line in own.splitlines() if line.startswith("access-tokens"))
    assert "gitlab.com=PAT:glpat_mine" in tokens
    assert "git.example.com:8443=ghs_ofthisserver" in tokens
    assert "github.com=ghs_" not in own
    daemons = job.machine.sh(f"HOME=/var/empty {PROFILE}/{show}").stdout
    assert "me:pass_word@" in daemons
    assert "par_ameter" in daemons
    assert "ghp_mine" not in daemons
    others = job.machine.sh(f"{PROFILE}/{show}", user="other").stdout
    assert "connect-timeout = 1\n" in others
    readable = job.machine.sh(
        "find /etc /nix/var /var/lib/nix-autocache /tmp /home /run -type f -readable -print0 2>/dev/null"
        " | xargs -0 grep -lsE 'ghp_mine|glpat_|pass_word|par_ameter|ghs_ofthis' || true",
        user="other",
    )
    assert readable.stdout == ""
    assert not [secret for secret in ("ghp_mine", "glpat", "pass_word", "par_ameter", "ghs_") if secret in said]
    job.run("finish")
    assert job.machine.sh("grep -rlE 'ghp_mine|pass_word' /etc /var/lib /home || true").stdout == ""


def test_a_flush_needs_no_process_of_the_job_to_be_alive(machine: MakeMachine) -> None:
    job = bare(machine, user="runner", sudo=True)
    job.run("setup")
    (uploader,) = job.uploaders()
    job.machine.run(["kill", "-KILL", str(uploader)])
    path = job.build("afterwards")
    for process in job.machine.processes():
        job.machine.run(["kill", "-KILL", str(process.pid)], check=False)
    assert path not in job.cached()
    assert "1 pushed" in job.said("finish")
    assert path in job.cached()
    wait_for(lambda: not job.machine.processes(), "the end of every process")


def test_a_setup_that_fails_leaves_nothing_registered(machine: MakeMachine) -> None:
    job = bare(machine, user="runner", sudo=True)
    unusable = {"cache": "file:///proc/cache", "on-upload-failure": "fail"}
    job = Job(job.machine, "runner", {**job.inputs, **unusable, "signing-key": job.keygen("key-1")})
    done = job.run("setup", check=False)
    assert done.returncode == 1
    assert "/proc/cache" in done.stderr
    assert not job.machine.exists("/etc/nix/nix-autocache.conf")
    wait_for(lambda: not job.machine.processes(), "the end of every process")
