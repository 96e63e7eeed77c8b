"""A dry run under act: it needs no credentials and no network, and says what would be pushed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import faults, nix
from tests.harness.faults import RESET, SILENT, Faults, answer
from tests.harness.job import Job, debian
from tests.harness.roots import NEW
from tests.harness.servers import rclone_http

SECRET = "nix-autocache-test-1:" + "A" * 86 + "=="
S3 = "s3://bucket?region=eu-west-1&endpoint="


@pytest.fixture
def job(machine: MakeMachine) -> Job:
    """A job under act whose secrets are all empty."""
    made = debian(machine, NEW)
    nix.without_daemon(made.machine)
    return replace(made, name="job", env={"ACT": "true"}, inputs={"flush-timeout": "60"})


@pytest.fixture
def server(job: Job, tmp_path: Path) -> Iterator[Faults]:
    with faults.before(job.machine, 9, tmp_path) as proxy:
        yield proxy


def told(job: Job, name: str, cache: str, **inputs: str) -> str:
    """The last output of a whole job that built one path."""
    job = replace(job, inputs={**job.inputs, "cache": cache, **inputs})
    job.run("setup")
    job.build(name)
    return job.said("finish")


def test_a_cache_that_refuses_is_busy_or_silent_does_not_keep_it_from_saying_what_would_be_pushed(
    job: Job, server: Faults
) -> None:
    for number, fault in enumerate((answer(403), answer(401), answer(503, 3600), SILENT, RESET)):
        server.do(fault)
        said = told(job, f"built-{number}", f"{S3}{server.url}")
        assert "would be: 1 pushed" in said, (fault, said)
        assert f"-built-{number}\n" in said, (fault, said)
        assert "NOT pushed" not in said, (fault, said)
        assert "everything counts as missing there" in said, (fault, said)
    server.down()
    assert "would be: 1 pushed" in told(job, "refused", f"{S3}{server.url}", **{"on-upload-failure": "fail"})


def test_no_scheme_needs_credentials_or_a_network(job: Job) -> None:
    caches = ("s3://bucket?region=eu-west-1", "gs://bucket", "az://container", "http://cache.invalid/nix")
    for number, cache in enumerate((*caches, "ssh-ng://nowhere", "file:///proc/none/cache")):
        said = told(job, f"path-{number}", cache)
        assert "would be: 1 pushed" in said, (cache, said)


def test_keys_in_aws_are_not_asked_for(job: Job) -> None:
    said = told(job, "unsigned", "http://cache.invalid/nix", **{"signing-key": "aws-ssm:/key", "dry-run": "true"})
    assert "would be: 1 pushed" in said, said


def test_a_key_without_credentials_for_the_bucket_is_a_dry_run_too(job: Job) -> None:
    said = told(job, "keyed", "s3://bucket?region=eu-west-1&endpoint=http://127.0.0.1:9", **{"signing-key": SECRET})
    assert "would be: 1 pushed" in said, said


def test_what_the_cache_has_is_asked_and_nothing_is_written(job: Job, tmp_path: Path) -> None:
    with rclone_http(job.machine, tmp_path) as cache:
        cache.wait()
        key = job.keygen()
        path = job.build("there")
        real = replace(job, inputs={"cache": cache.url, "signing-key": key}, env={})
        real.run("push", path)
        files = sorted(tmp_path.rglob("*"))
        dry = replace(job, inputs={"cache": cache.url})
        said = dry.said("push", path)
        assert "would be: 0 pushed, 1 already there" in said, said
        assert sorted(tmp_path.rglob("*")) == files
