"""macOS with an existing Nix, as far as a Linux machine can stand in for it: see tests/harness/macos.py."""

from dataclasses import replace
from pathlib import Path

from tests.conftest import MakeMachine
from tests.harness import macos, servers
from tests.harness.job import STATE, debian
from tests.harness.roots import OLD

RESTARTED = "launchctl kickstart -k system/org.nixos.nix-daemon"


def test_a_job_comes_through_with_the_daemon_that_launchd_keeps(machine: MakeMachine) -> None:
    """`harden` takes nothing away and claims nothing; a killed uploader and a daemon that died lose nothing."""
    job = debian(machine, OLD, "runner", sudo=True)
    macos.imitate(job.machine)
    macos.end_daemon(job.machine)
    job = replace(job, inputs={"harden": "true"})
    said = job.set_up("existing-daemon")
    assert "harden: the job's user can become root, so its code could read the key (`harden` works on Linux" in said
    assert macos.calls(job.machine) == [RESTARTED]
    lost = job.build("lost")
    job.kill_uploader()
    assert "no uploader is alive; uploading from here" in job.said("finish")
    assert lost in job.cached()
    assert macos.calls(job.machine) == [RESTARTED], "once, to take our lines out; and no user was made"
    assert job.sh("sudo -n true").returncode == 0
    job.run("undo")
    assert not job.machine.exists(STATE)
    assert job.machine.sh("ls /private/etc/nix; cat /etc/nix/nix.conf").stdout == f"nix.conf\n{macos.CONFIG}"


def test_a_job_from_before_the_boot_is_swept(machine: MakeMachine) -> None:
    job = debian(machine, OLD)
    macos.imitate(job.machine, "system/systems.determinate.nix-daemon")
    jobs = f"{STATE}/jobs"
    for name, age in (("before", 90), ("since", 30)):
        job.machine.sh(f"mkdir -p {jobs}/{name}/steps; : >{jobs}/{name}/steps/setup.json")
        job.machine.sh(f"touch -d '{age} seconds ago' {jobs}/{name}")
    job.run("setup")
    assert job.machine.sh(f"ls {jobs}").stdout.split() == ["local", "since"]
    assert "sysctl -n kern.boottime" in macos.calls(job.machine)


def test_a_trusted_user_needs_no_root_and_may_have_long_paths(machine: MakeMachine) -> None:
    job = debian(machine, OLD, "runner")
    macos.imitate(job.machine)
    job.machine.write("/etc/nix/nix.conf", f"{macos.CONFIG}trusted-users = root runner\n")
    job.machine.sh(f"{RESTARTED}; until [ -S /nix/var/nix/daemon-socket/socket ]; do :; done")
    macos.calls(job.machine)
    job = replace(job, env={"XDG_STATE_HOME": f"/home/runner/{'long' * 25}"})
    job.set_up("existing-trusted-user")
    path = job.build("something")
    assert "no uploader is alive" not in job.said("finish"), "it is reached"
    assert path in job.cached()
    assert macos.calls(job.machine) == []
    assert job.machine.sh("ls -d /tmp/na-* || true").stdout == ""


def test_a_mac_is_not_provisioned(machine: MakeMachine) -> None:
    job = debian(machine, OLD)
    macos.imitate(job.machine)
    done = job.run("provision", check=False)
    assert done.returncode == 3
    assert "provision works on Linux only" in done.stderr
    assert not job.machine.exists(STATE)


def test_a_cache_that_is_far_away_is_read_through_the_proxy(machine: MakeMachine, tmp_path: Path) -> None:
    """macOS does not say who connects to it, so everybody is answered."""
    job = debian(machine, OLD, "runner", sudo=True)
    macos.imitate(job.machine)
    with servers.rclone_http(job.machine, tmp_path / "http") as server:
        job = replace(job, inputs={"cache": server.url, "signing-key": job.keygen()})
        assert "read it through our proxy" in job.said("setup")
        path = job.build("far")
        job.run("flush")
        job.machine.sh(f"nix-store --delete {path}; rm -rf /root/.cache/nix")  # where it is noted as missing
        assert f"copying path '{path}' from 'http://127.0.0.1:" in job.sh(f"nix-store --realise {path}").stderr
        job.run("finish")
