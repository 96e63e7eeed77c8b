"""A hosted GitHub runner: user `runner` with sudo, systemd running, no Nix, the action in a workflow."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import act, binary_cache, nix, product, systemd
from tests.harness.act import Workflow
from tests.harness.job import BUILD, Job
from tests.harness.machine import Machine
from tests.harness.release import Release, release
from tests.harness.roots import RECENT
from tests.harness.servers import rclone_http

WORKFLOW = """
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - id: cached
        uses: nix-autocache/nix-autocache@v1
        with:
          nix-url: URL
          nix-sha256: SHA256
          cache: file:///home/runner/cache
          signing-key: ${{ secrets.KEY }}
      - name: bash
        shell: bash
        run: |
          echo "chosen: ${{ steps.cached.outputs.mode }}"
          nix-build --no-out-link /home/runner/project/default.nix
      - name: sh
        shell: sh
        run: |
          nix eval --expr '"flakes and commands: ${toString (1 + 1)}"'
      - name: zsh
        shell: zsh {0}
        run: |
          [ -r "$NIX_SSL_CERT_FILE" ] && nix-store --version
          systemctl is-active nix-daemon.service
          systemctl show --property=FragmentPath --value nix-daemon.service
"""


@pytest.fixture
def runner() -> Iterator[tuple[Machine, Release]]:
    tarball = release(RECENT)
    shared = [bind for bind in product.binds() if bind.target not in {each.target for each in act.binds()}]
    with systemd.SystemdMachine(systemd.root(), [*act.binds(), *shared, tarball.bind()]) as machine:
        machine.remove_nix()
        machine.write("/etc/nix/nix.conf", nix.CONFIG)
        machine.add_user("runner", sudo=True)
        yield machine, tarball


def test_a_workflow_on_a_hosted_runner_builds_through_a_unit_of_systemd(runner: tuple[Machine, Release]) -> None:
    machine, tarball = runner
    before = units(machine)
    key = Job(machine).run("keygen", "a-1").stdout
    text = WORKFLOW.replace("URL", tarball.url()).replace("SHA256", tarball.sha256)
    files = {".github/workflows/w.yml": text, "default.nix": BUILD.format(name="by-the-action")}
    act.git_project(machine, "/home/runner/project", files, user="runner")
    env = {
        name: value for name, value in product.environment().items() if name.startswith(("PIP", "UV", "RUNNER_TOOL"))
    }
    workflow = Workflow("/home/runner/project", user="runner", secrets={"KEY": key}, env=env)
    outcome = act.act(machine, workflow)
    assert outcome.returncode == 0, outcome.text
    assert "chosen: multi-user" in outcome.log
    assert "flakes and commands: 2" in outcome.logs["sh"]
    assert outcome.logs["zsh"].splitlines()[-2:] == ["active", "/etc/systemd/system/nix-daemon.service"]
    assert "by-the-action" in machine.sh("cat /home/runner/cache/*.narinfo").stdout
    assert "1 pushed" in outcome.log

    Job(machine, "runner").run("undo")
    assert units(machine) == before
    assert not machine.exists("/nix")
    assert "nixbld" not in machine.read("/etc/passwd")


def test_a_daemon_of_the_distribution_is_restarted_by_systemd(runner: tuple[Machine, Release]) -> None:
    machine, tarball = runner
    job = Job(machine, "runner", {"nix-url": tarball.url(), "nix-sha256": tarball.sha256})
    job.run("setup")
    machine.sh("rm /var/lib/nix-autocache/installed.json")  # as if somebody else had installed it
    job.run("finish")
    job.set_up("existing-daemon")
    path = job.build("something")
    job.run("finish")
    assert path in job.cached()
    assert machine.sh("systemctl is-active nix-daemon.socket").stdout == "active\n"


def units(machine: Machine) -> str:
    return machine.sh("find /etc/systemd /run/systemd/system | sort").stdout


HARDENED = """
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - run: |
          umask 077
          printf '%s' "$KEY" >/home/runner/key
        env:
          KEY: ${{ secrets.KEY }}
      - uses: nix-autocache/nix-autocache@v1
        with:
          nix-url: URL
          nix-sha256: SHA256
          cache: SERVER
          signing-key: file:/home/runner/key
          harden: true
      - name: attack
        run: |
          ! sudo -n true
          ! cat /home/runner/key
          ! systemd-run --no-ask-password true
          ! systemctl --no-ask-password stop nix-daemon.service
          nix-build --no-out-link /home/runner/project/default.nix
"""


def test_a_hardened_workflow_has_no_root_and_pushes(runner: tuple[Machine, Release], tmp_path: Path) -> None:
    """Only the runner stays open, since this kernel does not guard its memory; the report says so."""
    machine, tarball = runner
    key = Job(machine).run("keygen", "a-1").stdout
    with rclone_http(machine, tmp_path / "cache") as server:
        server.wait()
        text = HARDENED.replace("URL", tarball.url()).replace("SHA256", tarball.sha256).replace("SERVER", server.url)
        files = {".github/workflows/ci.yml": text, "default.nix": BUILD.format(name="hardened")}
        act.git_project(machine, "/home/runner/project", files, user="runner")
        workflow = Workflow("/home/runner/project", env=product.environment(), secrets={"KEY": key}, user="runner")
        done = act.act(machine, workflow)
        assert done.returncode == 0, done.text
        assert "1 pushed" in done.log
        assert set(binary_cache.narinfos(server.directory)) == {"hardened"}
    assert "this runner outlives its jobs" in done.text
    assert ("no Yama" in done.text) is not Path("/proc/sys/kernel/yama").exists()
    Job(machine).run("undo")
    assert machine.sh("sudo -n true", user="runner").returncode == 0
    assert machine.run(["id", "nix-autocache"], check=False).returncode
