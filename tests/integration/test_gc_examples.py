"""The nightly garbage collection of the documentation: as a workflow under act, as a schedule under gitlab-ci-local."""

import os
import re
import time
from pathlib import Path

import pytest

from nix_autocache import __version__
from tests.conftest import MakeMachine
from tests.harness import act, built, gitlab, graphs, nix, product, tools, wheels
from tests.harness.act import Workflow
from tests.harness.binary_cache import narinfos
from tests.harness.gitlab import Pipeline
from tests.harness.job import Job
from tests.harness.machine import Bind, Machine
from tests.harness.roots import NEW

PROJECT = "/root/project"
LOCK = tools.PROJECT / "requirements/install.txt"
LONG = 40 * 24 * 3600.0


def example(name: str) -> str:
    """Without AWS, which no test reaches: the cache is a directory, and there is no role."""
    text = (tools.PROJECT / "examples/gc" / name).read_text()
    assert f"'nix-autocache[aws]=={__version__}'" in text
    text = text.replace("s3://my-bucket?region=eu-west-1", f"file://{product.DATA}/cache").replace("[aws]", "")
    return re.sub(r"\n *NIX_AUTOCACHE_AWS_ROLE: .*", "", text)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built.wheel(tmp_path_factory.mktemp("wheel"))[0]


@pytest.fixture
def runner(machine: MakeMachine, tmp_path: Path, wheel: Path) -> Machine:
    """With a package index that has this version, and a cache with one path that was not used for long."""
    index = [wheels.wheelhouse([LOCK]).bind(), Bind(wheel.parent, "/index")]
    binds = {bind.target: bind for bind in (*product.binds(tmp_path), *act.binds()[:2], *gitlab.binds()[:1], *index)}
    one = machine(NEW, list(binds.values()))
    nix.without_daemon(one)
    job = Job(one)
    job.run("push", nix.build(one, graphs.leaf("old")))
    then = time.time() - LONG
    for file in (tmp_path / "cache").rglob("*"):
        os.utime(file, (then, then))
    for record in (tmp_path / "cache").glob("autocache/runs/*/*"):
        record.unlink()
    job.run("push", *nix.build(one, graphs.independent(9, "young")).split())  # more than --at-most leaves
    return one


def from_index() -> dict[str, str]:
    """Variables for pip."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{wheels.TARGET} /index", "PIP_BREAK_SYSTEM_PACKAGES": "1"}


def is_announced(said: str, directory: Path) -> bool:
    """The first night announces what the second deletes."""
    assert len(narinfos(directory / "cache")) == 10
    return bool(re.search(r"announced\W+1\b", said)) and (directory / "cache/autocache/gc/doomed").exists()


def test_the_workflow_on_github(runner: Machine, tmp_path: Path) -> None:
    runner.sh("python3 -m venv /opt/own; /opt/own/bin/pip install -q pipx; ln -s /opt/own/bin/pipx /usr/local/bin",
              env=from_index())  # fmt: skip
    act.git_project(runner, PROJECT, {".github/workflows/nix-cache-gc.yml": example("github.yml")})
    done = act.act(runner, Workflow(PROJECT, "schedule", env=from_index()))
    assert done.returncode == 0, done.text
    assert done.jobs == {"gc": "success"}
    assert is_announced(done.log, tmp_path), done.text


def test_the_schedule_on_gitlab(runner: Machine, tmp_path: Path) -> None:
    gitlab.git_project(runner, PROJECT, {".gitlab-ci.yml": example("gitlab.yml")})
    done = gitlab.run(runner, Pipeline(PROJECT, {"CI_PIPELINE_SOURCE": "schedule"}, from_index()))
    assert done.returncode == 0, done.text
    assert is_announced(done.logs["nix-cache-gc"], tmp_path), done.text
