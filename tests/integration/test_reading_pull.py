"""Jobs that only pull read through the proxy as well, with no more credentials than they have; and the run index."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from nix_autocache.nix.keys import parse_secret
from tests.conftest import MakeMachine
from tests.harness import events, graphs, nix, product, servers
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import RECENT, Generation
from tests.harness.waiting import wait_for

EXPRESSION = f"[ ({graphs.chain(4)}) ] ++ ({graphs.independent(3)})"
PATHS = 7


def on(event: str, ref: str) -> dict[str, str]:
    return {
        "GITHUB_EVENT_NAME": event,
        "GITHUB_REPOSITORY": "acme/project",
        "GITHUB_REF": ref,
        "GITHUB_WORKFLOW": "ci",
        "GITHUB_EVENT_PATH": "/tmp/event.json",
    }


MAIN = on("push", "refs/heads/main")
FORK = on("pull_request", "refs/pull/7/merge")


def fresh(machine: MakeMachine, generation: Generation = RECENT) -> Machine:
    made = machine(generation, product.binds())
    nix.without_daemon(made)
    made.write("/tmp/event.json", (events.GITHUB / "pull_request-fork.json").read_text())
    return made


def public_key(secret: str) -> str:
    return str(parse_secret(secret).public)


def pushed(machine: Machine, inputs: Mapping[str, str], env: Mapping[str, str]) -> list[str]:
    """A job on the default branch that builds all, pushes it and leaves; the paths."""
    job = Job(machine, inputs=inputs, env={**MAIN, **env}, name="build")
    job.run("setup")
    paths = nix.build(machine, EXPRESSION).split()
    assert f"{PATHS} pushed" in job.said("finish")
    machine.sh("nix-store --gc >/dev/null 2>&1; rm -rf /root/.cache/nix")
    return paths


@contextmanager
def private(machine: MakeMachine, directory: Path) -> Iterator[tuple[Machine, dict[str, str], list[str]]]:
    """A machine, the inputs for a private bucket, and the paths that a job of the default branch pushed there."""
    one = fresh(machine)
    with servers.rclone_s3(one, directory / "s3", ["bucket"]) as server:
        server.wait()
        inputs = {"cache": f"s3://bucket?endpoint={server.url}", "signing-key": Job(one).keygen()}
        yield one, inputs, pushed(one, inputs, servers.s3_env())


def build(job: Job) -> tuple[list[str], str]:
    """A build of all; the paths, and what it said."""
    done = job.machine.run(["nix-build", "--no-out-link", "--expr", EXPRESSION])
    return done.stdout.split(), done.stderr


def read(job: Job) -> tuple[list[str], str]:
    """The job's set-up, and a build of all; the paths, and what it said."""
    set_up = job.said("setup")
    paths, said = build(job)
    return paths, set_up + said


def answers(job: Job, path: str) -> bool:
    """Whether the read proxy has the narinfo of a path."""
    (url,) = re.findall(r"http://127.0.0.1:\d+/\w+", job.machine.read("/etc/nix/nix-autocache.conf"))
    return path in job.machine.run(["curl", "--silent", f"{url}/{path[11:43]}.narinfo"]).stdout


def test_a_forks_job_reads_a_public_bucket_without_credentials(machine: MakeMachine, tmp_path: Path) -> None:
    one = fresh(machine)
    key = Job(one).keygen()
    with servers.public_s3(one, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        inputs = {"cache": f"s3://bucket?endpoint={server.url}", "signing-key": key}
        paths = pushed(one, inputs, servers.s3_env())
        env = {**FORK, "AWS_EC2_METADATA_DISABLED": "true"}
        job = Job(one, inputs={"cache": inputs["cache"], "public-keys": public_key(key)}, env=env, name="build")
        found, said = read(job)
        assert found == paths
        assert "pull only" in said
        assert said.count("from 'http://127.0.0.1:") == PATHS
        assert "building '" not in said
        job.run("finish")
        wait_for(lambda: not one.processes(), "the end of the read proxy")
        assert "127.0.0.1" not in one.sh("cat /etc/nix/*").stdout


def test_a_forks_job_builds_what_a_private_bucket_does_not_show_it(machine: MakeMachine, tmp_path: Path) -> None:
    with private(machine, tmp_path) as (one, inputs, paths):
        env = {**FORK, **servers.s3_env()}  # as pull_request_target gives them to a fork's code
        job = Job(
            one,
            inputs={"cache": inputs["cache"], "public-keys": public_key(inputs["signing-key"])},
            env=env,
            name="build",
        )
        found, said = read(job)
        assert found == paths
        assert "from 'http://127.0.0.1:" not in said
        assert "error" not in said


def test_a_trusted_job_that_only_pulls_reads_a_private_bucket_with_its_credentials(
    machine: MakeMachine, tmp_path: Path
) -> None:
    with private(machine, tmp_path) as (one, inputs, paths):
        job = Job(one, inputs={**inputs, "push": "never"}, env={**MAIN, **servers.s3_env()}, name="build")
        found, said = read(job)
        assert found == paths
        assert said.count("from 'http://127.0.0.1:") == PATHS
        assert job.uploaders()
        assert job.status()["push"] is False
        assert "nothing to flush" in job.said("flush")
        job.run("finish")
        wait_for(lambda: not one.processes(), "the end of the read proxy")


@pytest.mark.every_value
@pytest.mark.parametrize("kind", ["bucket", "WebDAV"])
def test_the_next_job_is_answered_from_the_index_of_the_default_branch(
    machine: MakeMachine, nix_generation: Generation, kind: str, tmp_path: Path
) -> None:
    """Without its narinfos the cache would have nothing; another workflow's job has no such index, and builds."""
    one = fresh(machine, nix_generation)
    key = Job(one).keygen()
    s3, http = tmp_path / "s3", tmp_path / "http"
    with servers.public_s3(one, s3, ["bucket"]) if kind == "bucket" else servers.rclone_http(one, http, []) as server:
        server.wait()
        where = s3 / "bucket" if kind == "bucket" else http
        cache = f"s3://bucket?endpoint={server.url}" if kind == "bucket" else server.url
        paths = pushed(one, {"cache": cache, "signing-key": key}, servers.s3_env())
        assert len(list(where.glob("autocache/index/*/*"))) == 1
        for each in where.glob("*.narinfo"):
            each.unlink()
        inputs = {"cache": cache, "public-keys": public_key(key)}
        job = Job(one, inputs=inputs, env={**FORK, "AWS_EC2_METADATA_DISABLED": "true"}, name="build")
        job.run("setup")
        wait_for(lambda: answers(job, paths[0]), "the index to be read")
        found, said = build(job)
        assert found == paths
        assert "building '" not in said
        job.run("finish")
        one.sh("nix-store --gc >/dev/null 2>&1")
        other = Job(one, inputs=inputs, env={**FORK, "AWS_EC2_METADATA_DISABLED": "true"}, name="another")
        found, said = read(other)
        assert found == paths
        assert "building '" in said
        assert json.loads(other.run("status", "--json").stdout)["push"] is False
