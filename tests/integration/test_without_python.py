"""Machines that have Nix and no Python, as the image nixos/nix: Nix gets one, and the job is as any other."""

from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import act, binary_cache, gitlab, graphs, nix, nix_image, product, tools
from tests.harness.act import Workflow
from tests.harness.machine import Machine
from tests.harness.pipelines import PROJECT, REPOSITORY, cached, environment, pipeline, rewriting, runs, serve
from tests.harness.roots import NEW, OLD, Generation

WORKFLOW = """\
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - uses: nix-autocache/nix-autocache@v1
      - run: nix-build --no-out-link /etc/one.nix
"""
SCRIPT = f"{tools.TARGET}/src/gitlab/python.sh"
NEEDED = "Python 3.11 or newer is needed, and there is no Nix, or it could get none (see above): "
# A release of nixpkgs at another address, and a nixpkgs whose Python nobody has compiled.
ELSEWHERE = f"""
mkdir -p /srv/release /srv/other
cp -r /srv/nixpkgs /srv/release/nixpkgs
tar -C /srv/release -cJf /srv/nixexprs.tar.xz nixpkgs
hash=$(nix-hash --type sha256 /srv/release/nixpkgs)
sed 's/name = "python3-3"/name = "not-compiled"/' /srv/nixpkgs/default.nix >/srv/other/default.nix
cp /srv/nixpkgs/python.sh /srv/other
sed "s|url = \\"[^\\"]*\\"|url = \\"file:///srv/nixexprs.tar.xz\\"|; s|sha256 = \\"[^\\"]*\\"|sha256 = \\"$hash\\"|" \\
  {SCRIPT} >/srv/python.sh
"""
FIND = '. "$1"; nix_autocache_find_python || nix_autocache_python_from_nix /srv/python; echo "$nix_autocache_python"'


def of_image(machine: MakeMachine, generation: Generation) -> Machine:
    """Such a machine, with what gitlab-ci-local needs."""
    made = machine(generation, [*product.binds(), *gitlab.binds()[:2], *nix_image.binds(generation)])
    nix_image.make(made, "rsync")
    return made


def test_a_whole_gitlab_job(machine: MakeMachine) -> None:
    made = machine(NEW, [*product.binds(), *gitlab.binds()[:2], *nix_image.binds(NEW)])
    commit = serve(made)
    nix_image.make(made, "rsync")
    env = {**environment(), **rewriting(), **nix_image.environment()}
    env["PATH"] += f":{act.NODE}"
    del env["RUNNER_TOOL_CACHE"]  # so that pip has to install
    done = runs(made, pipeline(inputs={"install": f"git+{REPOSITORY}@{commit}"}), env=env)
    assert done.returncode == 0, done.text
    assert "there is no Python 3.11 or newer, so Nix gets one; an image that has it saves this time" in done.log
    assert "/bin/python3 took " in done.log
    assert "1 pushed" in done.log
    assert cached(made).endswith("-one\n")
    assert not made.sh(f"ls -d /tmp/nix-autocache-* {PROJECT}.tmp 2>/dev/null || true").stdout
    checked = made.sh("nix-store --verify --check-contents 2>&1").stdout
    assert "modified" not in checked, "Python compiles nothing into the store"


def test_a_whole_job_of_the_action(machine: MakeMachine, tmp_path: Path) -> None:
    made = machine(OLD, [*product.binds(tmp_path), *act.binds()[:2], *nix_image.binds(OLD)])
    nix_image.make(made)
    made.write("/etc/one.nix", graphs.leaf("one"))
    act.git_project(made, "/root/project", {".github/workflows/ci.yml": WORKFLOW})
    env = {**product.environment(), "NIX_PATH": nix_image.environment()["NIX_PATH"]}
    del env["PYTHONPATH"]
    done = act.act(made, Workflow("/root/project", env=env))
    assert done.returncode == 0, done.text
    assert "so Nix gets one" in done.log
    assert set(binary_cache.narinfos(tmp_path / "cache")) == {"one"}


def test_without_a_usable_nixpkgs_it_is_the_pinned_ones(machine: MakeMachine, nix_generation: Generation) -> None:
    """Nothing is compiled for it, and a garbage collection leaves it."""
    made = of_image(machine, nix_generation)
    made.sh(ELSEWHERE)
    env = nix_image.environment()
    for nix_path in ("nixpkgs=/srv/other", "nixpkgs=/none"):
        made.sh("rm -f /srv/python; nix-store --gc 2>/dev/null")
        done = made.run(["sh", "-euc", FIND, "sh", "/srv/python.sh"], env={**env, "NIX_PATH": nix_path})
        assert "downloading nixpkgs of NixOS 26.05" in done.stderr, done
        assert "building" not in done.stderr
        made.sh("nix-store --gc")
        assert made.run([done.stdout.strip(), "-c", "print(1)"]).stdout == "1\n"
    kept = made.run(["sh", "-euc", FIND, "sh", SCRIPT], env=env)
    assert "downloading" not in kept.stderr, "the machine's own comes first"


def test_a_user_of_a_daemon_gets_one(machine: MakeMachine, nix_generation: Generation) -> None:
    """As on NixOS's runners: the user is not trusted, and cannot write the store."""
    made = machine(nix_generation, [*product.binds(), *nix_image.binds(nix_generation)])
    nix.with_daemon(made, f"substituters = {nix_image.SUBSTITUTER}\n")
    made.sh("rm /usr/bin/python3*; mkdir -m 777 /srv/link")
    made.add_user("ci")
    words = ["sh", "-euc", FIND.replace("/srv/python", "/srv/link/python"), "sh", SCRIPT]
    done = made.run(words, env={"NIX_PATH": nix_image.environment()["NIX_PATH"]}, user="ci")
    assert made.run([done.stdout.strip(), "-c", "print(1)"], user="ci").stdout == "1\n"


@pytest.mark.parametrize("has_nix", [True, False], ids=["unreachable", "no-nix"])
def test_where_nix_gets_none_either_one_line_says_what_to_do(machine: MakeMachine, has_nix: bool) -> None:
    made = of_image(machine, NEW)
    env = {**environment(), **nix_image.environment(), "NIX_PATH": "", "NIX_CONFIG": "download-attempts = 1"}
    env["PATH"] += f":{act.NODE}"
    if not has_nix:
        made.sh(f"rm {nix_image.PROGRAMS}/nix*")
    done = runs(made, pipeline(), env=env)
    assert done.status == 3, done.text
    (line,) = [line for line in done.log.splitlines() if NEEDED in line]
    assert "use an image that has it" in line
    assert ("downloading nixpkgs" in done.log) is has_nix
    assert "nothing was set up in this job" in done.log
    action = made.run(["node", f"{tools.TARGET}/src/action/main.mjs"], env=env, check=False)
    assert action.returncode == 3, action
    assert f"::error title=nix-autocache::{NEEDED}put actions/setup-python before" in action.stdout
