"""`nix-autocache sign`: after it, a Nix that trusts only the new key takes everything that the old key had signed."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from nix_autocache.nix import keys
from tests.conftest import MakeMachine
from tests.harness import binary_cache, graphs, nix, product, servers
from tests.harness.job import Job
from tests.harness.machine import Machine

OLD, NEW = keys.generate("cache-1"), keys.generate("cache-2")
TOP = f"({graphs.CHAIN}).top"


@pytest.fixture
def builder(machine: MakeMachine, tmp_path: Path) -> Machine:
    made = machine(binds=product.binds(tmp_path))
    nix.without_daemon(made)
    return made


def sign(job: Job, *words: str, key: keys.SecretKey = NEW, status: int = 0) -> dict[str, int]:
    """The table of counts."""
    signed = Job(job.machine, inputs={**job.inputs, "signing-key": str(key)}, env=job.env)
    done = signed.run("sign", "--old-key", str(OLD.public), "--json", *words, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


def fetched(machine: Machine, path: str, cache: str, key: keys.SecretKey) -> bool:
    """Whether a Nix that trusts only this key takes the path."""
    machine.sh("rm -rf /root/clean /root/.cache/nix")
    options = f"--option require-sigs true --option trusted-public-keys '{key.public}'"
    command = f"nix --extra-experimental-features nix-command copy {options} --from {cache}"
    return machine.sh(f"{command} --to 'local?root=/root/clean' {path}", check=False).returncode == 0


def refused(job: Job, *words: str, inputs: Mapping[str, str]) -> str:
    done = Job(job.machine, inputs=inputs).run("sign", *words, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_directory(builder: Machine, tmp_path: Path) -> None:
    cache = f"file://{product.DATA}/cache"
    job = Job(builder, inputs={"cache": cache, "signing-key": str(OLD)})
    path = nix.build(builder, TOP)
    job.run("push", path)
    assert not fetched(builder, path, cache, NEW)
    paths = len(binary_cache.narinfos(tmp_path / "cache"))
    assert sign(job)["signed now"] == paths
    assert sign(job)["were signed"] == paths
    assert fetched(builder, path, cache, NEW)
    assert fetched(builder, path, cache, OLD)
    sign(job, "--remove-old")
    assert fetched(builder, path, cache, NEW)
    assert not fetched(builder, path, cache, OLD)
    assert not binary_cache.missing(tmp_path / "cache")


def test_a_bucket_in_which_somebody_changed_a_path(builder: Machine, tmp_path: Path) -> None:
    with servers.rclone_s3(builder, tmp_path / "s3", ["bucket"]) as server:
        server.wait()
        inputs = {"cache": f"s3://bucket/prefix?endpoint={server.url}", "signing-key": str(OLD)}
        job = Job(builder, inputs=inputs, env=servers.s3_env())
        job.run("push", nix.build(builder, graphs.leaf("one")), nix.build(builder, graphs.leaf("two")))
        bucket = tmp_path / "s3/bucket/prefix"
        (planted,) = [path for path in bucket.glob("*.narinfo") if "-one\n" in path.read_text()]
        planted.write_text(planted.read_text().replace("NarHash: sha256:", "NarHash: sha256:0")[:-1])
        counts = sign(job)
        assert counts["signed now"] == 1
        assert counts["damaged, left alone"] == 1
        builder.sh("rm -rf /root/.cache/nix")
        table = Job(builder, inputs={**inputs, "signing-key": str(NEW)}, env=servers.s3_env())
        assert "        1  were signed\n" in table.run("sign", "--old-key", str(OLD.public)).stdout


def test_what_cannot_be_signed(builder: Machine) -> None:
    job = Job(builder)
    inputs = {"cache": "/srv/cache", "signing-key": str(NEW)}
    old = ["--old-key", str(OLD.public)]
    assert "needs --cache" in refused(job, inputs=inputs)
    assert "needs --cache" in refused(job, *old, inputs={"cache": "/srv/cache"})
    assert "needs --cache" in refused(job, *old, inputs={"signing-key": str(NEW)})
    assert "cannot be listed" in refused(job, *old, inputs={**inputs, "cache": "http://127.0.0.1:9"})
    assert "cannot be listed" in refused(job, *old, inputs={**inputs, "cache": "local?root=/root/x"})
    assert "named cache-1, too" in refused(job, *old, inputs={**inputs, "signing-key": str(OLD)})
    assert "is a secret key" in refused(job, "--old-key", str(OLD), inputs=inputs)
