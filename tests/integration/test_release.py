"""The workflows of this repository under act: the release, up to what needs accounts, and the jobs that try the action.

The stand-ins are the actions that need GitHub (artifacts, attestations, PyPI) and gh; Git's servers are directories.
"""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from tools import component

from nix_autocache import __version__
from tests.conftest import MakeMachine
from tests.harness import act, nix, product, tools, wheels
from tests.harness.act import Workflow
from tests.harness.machine import Bind, Machine
from tests.harness.roots import NEW, OLD

PROJECT = "/root/project"
PAGES = ("README.md", "CHANGELOG.md", "docs")
LOCKS = [tools.PROJECT / "requirements" / name for name in ("base.txt", "release.txt")]
TOKENS = {"x-access-token:token@github.com": "github", "oauth2:secret@gitlab.com": "gitlab"}
# What whoever releases writes, see docs/releasing.md.
PREPARE = f"""
grep -q '^## .{__version__}' CHANGELOG.md ||
  sed -i 's/^## .Unreleased.$/## [{__version__}] - 2026-11-26/' CHANGELOG.md
sed -i -E 's/(been released|no release) yet/released/' README.md CHANGELOG.md docs/*.md
"""
STAND_INS = {
    "actions/upload-artifact": "cp -r $GIVEN_PATH /artifacts",
    "actions/download-artifact": "cp -r /artifacts/. .",
    "actions/attest": "ls $GIVEN_SUBJECT_PATH $GIVEN_SBOM_PATH >>/attested",
    "cachix/install-nix-action": "false",  # fetched by act, although no job here runs it
    "pypa/gh-action-pypi-publish": "ls $GIVEN_PACKAGES_DIR >/published",
}


def checkout(machine: Machine) -> str:
    """This project in the machine, in a repository of one commit; the commit."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=tools.PROJECT, check=True, capture_output=True).stdout
    there = b"".join(name + b"\0" for name in names.split(b"\0") if name and (tools.PROJECT / name.decode()).exists())
    pack = ["tar", "--create", "--null", "--files-from=-"]
    packed = subprocess.run(pack, cwd=tools.PROJECT, input=there, check=True, capture_output=True).stdout
    machine.run(["sh", "-euc", f"mkdir {PROJECT}; tar -x -C {PROJECT}"], stdin=packed)
    machine.sh(PREPARE, cwd=PROJECT)
    act.git_project(machine, PROJECT, {}, "https://github.com/nix-autocache/nix-autocache.git")
    return machine.sh("git rev-parse HEAD", cwd=PROJECT).stdout.strip()


def stand_ins(machine: Machine, workflow: str) -> dict[str, str]:
    """Directories of actions, by the names that a workflow has for them."""
    text = (tools.PROJECT / ".github/workflows" / workflow).read_text(encoding="utf-8")
    given = ("path", "subject-path", "sbom-path", "packages-dir")
    env = {f"GIVEN_{word.upper().replace('-', '_')}": f"${{{{ inputs.{word} }}}}" for word in given}
    found: dict[str, str] = {}
    for name, script in STAND_INS.items():
        steps = [{"run": script, "shell": "sh", "env": env}]
        inputs = {word: {"required": False} for word in given}
        action = {"name": name, "inputs": inputs, "runs": {"using": "composite", "steps": steps}}
        machine.write(f"/actions/{name}/action.yml", json.dumps(action))
        uses = {line.split("@")[1].split()[0] for line in text.splitlines() if f"uses: {name}@" in line}
        found |= {f"{name}@{commit}": f"/actions/{name}" for commit in uses}
    return found


def test_a_tag_is_released(machine: MakeMachine, tmp_path: Path) -> None:
    house = wheels.wheelhouse(LOCKS, [OLD])
    one = machine(OLD, [*act.binds()[:2], house.bind(), Bind(tmp_path, "/artifacts", writable=True)])
    commit = checkout(one)
    actions = stand_ins(one, "release.yml")
    one.write("/usr/local/bin/gh", '#!/bin/sh\necho "$*" >/page\n', 0o755)
    env = {**house.env(), "GIT_CONFIG_COUNT": "2"}
    for number, (login, name) in enumerate(TOKENS.items()):
        one.sh(f"git init -q --bare /srv/{name}.git")
        env[f"GIT_CONFIG_KEY_{number}"] = f"url.file:///srv/{name}.git.insteadOf"
        env[f"GIT_CONFIG_VALUE_{number}"] = f"https://{login}/nix-autocache/nix-autocache.git"
    payload = {"ref": f"refs/tags/v{__version__}"}
    secrets = {"GITHUB_TOKEN": "token", "GITLAB_TOKEN": "secret"}
    arguments = ["--workflows", ".github/workflows/release.yml"]
    one.sh(f"git tag v{__version__}", cwd=PROJECT)
    done = act.act(one, Workflow(PROJECT, "push", arguments, payload, secrets, env, actions))
    assert done.returncode == 0, done.text
    assert set(done.jobs) == {"build", "attest", "publish", "page", "action", "component"}

    wheel = tmp_path / f"dist/nix_autocache-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("nix_autocache/commit.txt").decode().strip() == commit
    sbom = json.loads((tmp_path / "sbom.cdx.json").read_text())
    assert sbom["metadata"]["component"]["name"] == "nix-autocache"
    assert {"boto3", "obstore", "PyNaCl".lower()} <= {each["name"].lower() for each in sbom["components"]}
    assert one.sh("cd /artifacts/dist; sha256sum --check --strict ../SHA256SUMS").returncode == 0
    assert one.read("/published").split() == sorted(path.name for path in wheel.parent.iterdir())
    assert one.read("/attested").count("sbom.cdx.json") == 1
    assert f"release create v{__version__}" in one.read("/page")
    assert one.sh("git -C /srv/github.git rev-parse refs/tags/v1").stdout.strip() == commit
    template = one.sh(f"git -C /srv/gitlab.git show {__version__}:templates/nix-autocache/template.yml").stdout
    assert f"git+{component.REPOSITORY}@{commit}" in template


def test_the_jobs_that_try_the_action_build_and_then_fetch(machine: MakeMachine, tmp_path: Path) -> None:
    """Each on a machine of its own, as on hosted runners; act would run the first again for the second."""
    cache = "/root/.cache/actcache"
    for job, step in {"build": "builds", "again": "builds nothing"}.items():
        one = machine(NEW, [*product.binds(), *act.binds()[:2], Bind(tmp_path, cache, writable=True)])
        nix.without_daemon(one)
        one.sh(f"mkdir -p /root/.cache/act; ln -s {product.TOOL_CACHE} /root/.cache/act/tool_cache")
        checkout(one)
        one.sh("sed -i '/needs: build/d' .github/workflows/ci.yml", cwd=PROJECT)
        env = {name: value for name, value in product.environment().items() if not name.startswith("PYTHON")}
        arguments = ["--workflows", ".github/workflows/ci.yml", "--job", job, "--matrix", "where:x86_64 Linux"]
        actions = stand_ins(one, "ci.yml")
        done = act.act(one, Workflow(PROJECT, "push", arguments, env=env, actions=actions, cache=cache))
        assert done.returncode == 0, done.text
        assert done.result(step) == "success"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("sed -i '/^__version__/s/0/9/' src/nix_autocache/__init__.py", "is of version"),
        ("sed -i 's/^## .*/## [Unreleased]/' CHANGELOG.md", "CHANGELOG.md: the newest version is not"),
        ("sed -i 's/@0/@9/' examples/gitlab/embedded.yml", "includes another version"),
        ("sed -i 's/==0/==9/' examples/gc/github.yml", "installs another version"),
        (
            "sed -i 's/nix_autocache_template=.*/x/' templates/nix-autocache/template.yml",
            "make reference",
        ),
        ("echo 'There is no release yet.' >>README.md", "README.md says `no release yet`"),
    ],
)
def test_a_tag_that_not_everything_says_is_not_released(tmp_path: Path, change: str, problem: str) -> None:
    for name in ("src/nix_autocache/__init__.py", *PAGES, "templates", "examples", "tools/release.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", tools.PROJECT / name, tmp_path / name], check=True)
    release = ["python3", "tools/release.py", f"v{__version__}"]
    subprocess.run(["sh", "-euc", PREPARE], cwd=tmp_path, check=True)
    assert subprocess.run(release, cwd=tmp_path, check=True, capture_output=True).stdout
    subprocess.run(["sh", "-euc", change], cwd=tmp_path, check=True)
    done = subprocess.run(release, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert problem in done.stderr
