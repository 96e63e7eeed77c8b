"""A throwaway cache: what is used is carried into each new week or month, and the one before can go as a whole."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nix_autocache.nix.store_url import parse_cache_url
from tests.conftest import MakeMachine
from tests.harness import binary_cache, graphs, nix, product, servers
from tests.harness.job import Job
from tests.harness.waiting import wait_for

GRAPH = f"[ ({graphs.chain(4)}) ({graphs.BIG}) ]"


def periods(kind: str) -> tuple[str, str]:
    """This period and the one before; not in the last minute of one."""
    url = parse_cache_url(f"file:///{kind}")
    wait_for(lambda: url.at(time.time()) == url.at(time.time() + 60), f"a new {kind}", seconds=90)
    before = url.before(time.time())
    assert before is not None
    return url.at(time.time()).path.strip("/"), before.path.strip("/")


def run_job(job: Job) -> tuple[str, set[str]]:
    """A job on a machine whose store is empty: what the end of it said, and what Nix had to build."""
    job.machine.sh("nix-store --gc >/dev/null 2>&1; rm -rf /root/.cache/nix")
    job.run("setup")
    done = job.machine.run(["nix-build", "--no-out-link", "--expr", GRAPH], env=job.environment())
    built = {line for line in done.stderr.splitlines() if line.startswith("building ")}
    return job.run("finish", timeout=120).stderr, built


def through_a_change(kind: str, job: Callable[[str], Job], directory: Path) -> None:
    """The period before comes first, by its own name: no clock is changed."""
    this, before = periods(kind)
    said, built = run_job(job(before))
    assert len(built) == 5
    whole = set(binary_cache.narinfos(directory / before))
    assert len(whole) == 5, said
    said, built = run_job(job(kind))
    assert not built, "it is read from the period before"
    assert "5 pushed" in said
    assert set(binary_cache.narinfos(directory / this)) == whole
    assert not binary_cache.missing(directory / this)
    shutil.rmtree(directory / before)
    said, built = run_job(job(kind))
    assert not built, "all of it was carried over"
    assert "5 pushed" not in said


def test_a_bucket_is_used_through_a_change_of_week(machine: MakeMachine, tmp_path: Path) -> None:
    builder = machine(binds=product.binds())
    nix.without_daemon(builder)
    key = Job(builder).keygen()
    with servers.rclone_s3(builder, tmp_path / "s3", ["bucket"]) as server:
        server.wait()

        def job(period: str) -> Job:
            inputs = {"cache": f"s3://bucket/ci/{period}?endpoint={server.url}", "signing-key": key}
            return Job(builder, inputs=inputs, env=servers.s3_env())

        through_a_change("{week}", job, tmp_path / "s3/bucket/ci")


@pytest.mark.parametrize("kind", ["{week}", "{month}"])
def test_a_directory_is_used_through_a_change(machine: MakeMachine, tmp_path: Path, kind: str) -> None:
    builder = machine(binds=product.binds(tmp_path))
    nix.without_daemon(builder)
    key = Job(builder).keygen()
    cache = f"file://{product.DATA}/cache/{{}}"
    through_a_change(
        kind,
        lambda period: Job(builder, inputs={"cache": cache.replace("{}", period), "signing-key": key}),
        tmp_path / "cache",
    )
