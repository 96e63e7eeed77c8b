"""Caches that refuse some of what they are asked, and send the rest elsewhere: what can be pushed is."""

from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import binary_cache, graphs, nix, product, servers
from tests.harness.graphs import BIG
from tests.harness.job import Job
from tests.harness.roots import NEW


@pytest.fixture
def job(machine: MakeMachine) -> Job:
    made = machine(NEW, product.binds())
    nix.without_daemon(made)
    return Job(made, inputs={"signing-key": Job(made).keygen(), "flush-timeout": "20"})


def to(job: Job, cache: str, env: dict[str, str] | None = None) -> Job:
    return Job(job.machine, inputs={**job.inputs, "cache": cache}, env=env or {})


def test_odd_servers_are_pushed_to_and_read_as_nix_does(job: Job, tmp_path: Path) -> None:
    paths = nix.build(job.machine, f"[ ({BIG}) ] ++ ({graphs.independent(5)})").split()
    for number, modes in enumerate(
        [
            ["redirect-get=302", "redirect-put=307", "signed"],
            ["redirect-get=308", "redirect-put=302", "no-chunks=411"],
            ["missing=403", "immutable=403", "no-chunks=501"],
            ["http10", "locked=423", "missing=410", "gzip"],
        ]
    ):
        directory = tmp_path / f"cache-{number}"
        with servers.odd(job.machine, directory, *modes, port=9180 + number) as server:  # Nix remembers what is where
            one = to(job, server.url)
            assert one.said("push", *paths).startswith("6 pushed"), modes
            assert one.said("push", *paths).startswith("0 pushed, 6 already there"), modes
            assert not binary_cache.missing(directory)
            job.machine.run(["nix-store", "--delete", *paths])
            reading = ["--option", "substituters", server.url, "--option", "require-sigs", "false"]
            job.machine.run(["nix-store", "--realise", *reading, *paths])


def test_a_path_that_is_refused_for_its_own_sake_does_not_end_the_drain(job: Job, tmp_path: Path) -> None:
    """As five of twelve are here: three in a row are no proof that it is the credentials."""
    paths = nix.build(job.machine, graphs.independent(12)).split()
    refused = "|".join(path.rpartition("/")[2][:32] for path in paths[:5])
    with servers.odd(job.machine, tmp_path / "some", "refuse=403", f"of={refused}", "missing=403") as server:
        done = to(job, server.url).run("push", *paths, check=False)
        assert done.returncode == 1
        assert "7 pushed, 5 NOT pushed" in done.stderr
        assert "HTTP status 403" in done.stderr
        assert "are the credentials right" not in done.stderr
    assert len(binary_cache.narinfos(tmp_path / "some")) == 7


def test_a_cache_that_refuses_its_own_nix_cache_info_says_that_it_is_the_credentials(job: Job, tmp_path: Path) -> None:
    with servers.odd(job.machine, tmp_path / "all", "refuse=403", "of=.", "missing=403") as server:
        said = to(job, server.url).said("setup")
    (warning,) = [line for line in said.splitlines() if line.startswith("warning: not pushing: ")]
    assert "refused nix-cache-info: HTTP status 403 Forbidden; are the credentials right?" in warning


def test_a_bucket_of_another_region_is_said_at_setup(job: Job, tmp_path: Path) -> None:
    with servers.odd(job.machine, tmp_path / "there", "region=eu-west-1") as server:
        one = to(job, f"s3://bucket?endpoint={server.url}", {**servers.s3_env(), "AWS_REGION": ""})
        assert "not pushing: s3://bucket is in eu-west-1, not us-east-1; write region=eu-west-1" in one.said("setup")
        right = to(job, f"s3://bucket?endpoint={server.url}&region=eu-west-1", servers.s3_env())
        assert right.said("push", nix.build(job.machine, graphs.leaf("small"))).startswith("1 pushed")
