"""The harness itself, on which every other integration test relies."""

import os
import select
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import act, nix, servers
from tests.harness.act import Step, Workflow
from tests.harness.commands import CommandFailed
from tests.harness.machine import Bind
from tests.harness.release import release
from tests.harness.roots import OLD, Generation
from tests.harness.waiting import wait_for

SHELL_BUILD = """derivation {
  name = "made"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo made >$out" ];
}"""
CANARY = """derivation {
  name = "canary"; system = builtins.currentSystem; builder = "builtin:buildenv";
  derivations = [ ]; manifest = builtins.toFile "manifest" "";
}"""


def test_what_a_machine_does_reaches_neither_the_host_nor_its_root(machine: MakeMachine) -> None:
    made = machine()
    made.write("/etc/only-here", "x")
    made.remove_nix()
    assert made.exists("/etc/only-here")
    assert not Path("/etc/only-here").exists()
    assert not (made.root / "etc/only-here").exists()
    assert not machine().exists("/etc/only-here")
    assert machine().exists("/usr/bin/nix")


def test_a_command_sees_no_more_than_path_home_and_lang(machine: MakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "yes")
    made = machine()
    made.add_user("runner", sudo=True)
    names = {line.split("=")[0] for line in made.run(["env"], user="runner").stdout.splitlines()}
    assert names == {"PATH", "HOME", "LANG"}
    assert "LEAKED" not in made.run(["cat", "/proc/1/environ"]).stdout
    assert made.sh("whoami; pwd; sudo whoami", user="runner").stdout.split() == [
        "runner",
        "/home/runner",
        "root",
    ]


def test_all_that_runs_in_a_machine_ends_with_it(machine: MakeMachine) -> None:
    made = machine()
    made.sh("setsid sleep 1000 >/dev/null 2>&1 &")
    (sleeper,) = made.processes()
    assert (sleeper.user, sleeper.argv) == ("root", ("sleep", "1000"))
    opened = os.pidfd_open(made.init)
    made.close()
    ended, _, _ = select.select([opened], [], [], 0)
    os.close(opened)
    assert ended, "the machine's init still runs"


def test_orphans_are_reaped(machine: MakeMachine) -> None:
    made = machine()
    made.sh("for n in 1 2 3; do (sh -c 'sleep 0.01 &' &); done")
    wait_for(lambda: made.processes() == [], "an empty machine")


def test_a_command_that_outlives_its_time_is_told_from_one_whose_child_holds_the_output(
    machine: MakeMachine,
) -> None:
    made = machine()
    with pytest.raises(CommandFailed, match="has not ended"):
        made.sh("echo begun; sleep 1000", timeout=0.2)
    with pytest.raises(CommandFailed, match=r"(?s)a child keeps its output open.*begun"):
        made.sh("echo begun; sleep 1000 &", timeout=0.2)


def test_machines_without_a_shared_network_do_not_meet(machine: MakeMachine, tmp_path: Path) -> None:
    first = machine()
    second, stranger = machine(share_network_with=first), machine()
    with servers.rclone_http(first, tmp_path / "files") as server:
        server.wait()
        second.sh(f"echo hello | curl -fsS -T - {server.url}/nar/b")
        assert first.run(["curl", "-fsS", f"{server.url}/nar/b"]).stdout == "hello\n"
        assert first.run(["curl", "-fsSI", f"{server.url}/nar/missing"], check=False).returncode == 22
        assert stranger.run(["curl", "-fsS", server.url], check=False).returncode == 7
    assert (tmp_path / "files/nar/b").read_text() == "hello\n"


def test_a_file_is_put_to_any_path_of_seaweedfs(machine: MakeMachine, tmp_path: Path) -> None:
    made = machine()
    with servers.seaweedfs_http(made, tmp_path / "files") as server:
        server.wait()
        made.sh(f"echo hello | curl -fsS -T - {server.url}/any/where/at-all")
        assert made.run(["curl", "-fsS", f"{server.url}/any/where/at-all"]).stdout == "hello\n"


def test_nix_builds_without_a_daemon(machine: MakeMachine, nix_generation: Generation) -> None:
    made = machine(nix_generation)
    nix.without_daemon(made)
    assert made.read(nix.build(made, SHELL_BUILD)) == "made\n"
    assert made.exists(nix.build(made, CANARY))


def test_nix_builds_for_its_user_without_root(machine: MakeMachine, nix_generation: Generation) -> None:
    made = machine(nix_generation)
    made.add_user("runner")
    nix.without_daemon(made, owner="runner")
    assert made.read(nix.build(made, SHELL_BUILD, user="runner")) == "made\n"


def test_nix_builds_through_a_daemon(machine: MakeMachine, nix_generation: Generation) -> None:
    made = machine(nix_generation)
    made.add_user("runner")
    with nix.with_daemon(made):
        path = nix.build(made, SHELL_BUILD, user="runner")
    assert made.run(["stat", "--format=%U", path]).stdout == "root\n"


def test_a_release_tarball_is_all_that_a_machine_without_nix_needs(
    machine: MakeMachine, nix_generation: Generation
) -> None:
    tarball = release(nix_generation)
    made = machine(nix_generation, [tarball.bind()], nix=False)
    assert made.run(["sh", "-c", "command -v nix"], check=False).returncode != 0
    nix.without_daemon(made)
    made.sh(f"tar -C /tmp -xf {tarball.bind().target}; mv /tmp/nix-{tarball.version}-*/store/* /nix/store/")
    directory = made.sh(f"echo /nix/store/*-nix-{tarball.version}").stdout.strip()
    made.sh(f"{directory}/bin/nix-store --load-db </tmp/nix-{tarball.version}-{tarball.system}/.reginfo")
    env = {"PATH": f"{directory}/bin:/usr/bin:/bin"}
    made.run(["nix-store", "--verify", "--check-contents"], env=env)
    assert tarball.version in made.run(["nix", "--version"], env=env).stdout
    built = made.run(["nix-build", "--no-out-link", "--expr", SHELL_BUILD], env=env).stdout.strip()
    assert made.read(built) == "made\n"


ACTION = {
    "/action/action.yml": """
name: said
description: says, and says again afterwards
inputs: { word: { description: what, required: true } }
runs: { using: node24, main: main.js, post: post.js }
""",
    "/action/main.js": 'console.log(`main ${process.env.INPUT_WORD} ${process.version.split(".")[0]}`)',
    "/action/post.js": 'console.log("post " + process.env.INPUT_WORD)',
}
WORKFLOW = """
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - uses: acme/said@v1
        with: { word: "${{ secrets.WORD || 'hello' }}" }
      - name: last
        run: |
          echo "begun with ${LEAKED:-nothing}"
          [ -z "$WAIT" ] || exec sleep 1000
"""


def test_act_runs_a_node_action_as_a_user_would(machine: MakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "something")
    made = machine(OLD, act.binds())
    act.git_project(made, "/project", {".github/workflows/w.yml": WORKFLOW})
    for name, text in ACTION.items():
        made.write(name, text)
    outcome = act.act(made, Workflow("/project", actions={"acme/said@v1": "/action"}))
    assert outcome.returncode == 0, outcome.text
    assert outcome.jobs == {"job": "success"}
    assert outcome.steps[-1] == Step("Post", "acme/said@v1", "success")
    assert outcome.log.splitlines() == ["main hello v24", "begun with nothing", "post hello"]


def test_act_is_cancelled_and_still_runs_the_post_step(machine: MakeMachine) -> None:
    made = machine(OLD, act.binds())
    act.git_project(made, "/project", {".github/workflows/w.yml": WORKFLOW})
    for name, text in ACTION.items():
        made.write(name, text)
    actions, secrets = {"acme/said@v1": "/action"}, {"WORD": "hidden"}
    waiting = Workflow("/project", actions=actions, secrets=secrets, env={"WAIT": "1"})
    outcome = act.act(made, waiting, cancel_at="begun with")
    assert outcome.returncode != 0
    assert outcome.result("last") != "success"
    assert "post ***" in outcome.log
    assert "hidden" not in outcome.text


@pytest.mark.parametrize("serve", [servers.rclone_s3, servers.seaweedfs_s3], ids=["rclone", "seaweedfs"])
def test_an_object_survives_the_way_to_an_s3_server_and_back(
    machine: MakeMachine, tmp_path: Path, serve: servers.ServeS3
) -> None:
    made = machine()
    curl = f"curl -fsS --user {servers.ACCESS_KEY}:{servers.SECRET_KEY} --aws-sigv4 aws:amz:{servers.REGION}:s3"
    with serve(made, tmp_path / "s3") as server:
        server.wait()
        made.write("/tmp/object", "stored\n")
        made.sh(f"{curl} -X PUT {server.url}/bucket; {curl} -T /tmp/object {server.url}/bucket/a/key")
        assert made.sh(f"{curl} {server.url}/bucket/a/key").stdout == "stored\n"
        assert made.sh(f"curl -fsS {server.url}/bucket/a/key", check=False).returncode == 22


def test_a_file_of_the_host_is_bound_read_only_unless_said(machine: MakeMachine, tmp_path: Path) -> None:
    made = machine(OLD, [Bind(tmp_path, "/fixed"), Bind(tmp_path, "/shared", writable=True)])
    assert made.sh("touch /fixed/a", check=False).returncode != 0
    made.sh("touch /shared/a")
    assert (tmp_path / "a").exists()


def test_the_host_has_no_store_because_of_us() -> None:
    # A host may have a Nix of its own; mounts of ours on it would show.
    assert "machine-" not in subprocess.run(["mount"], capture_output=True, text=True, check=True).stdout
