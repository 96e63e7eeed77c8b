"""Servers other than AWS that speak S3: two real ones, of which one has fewer settings."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import botocore.loaders
import pytest

from nix_autocache.errors import Error, InputError
from nix_autocache.nix import keys
from nix_autocache.onboarding import steps
from nix_autocache.onboarding.aws import storage
from nix_autocache.onboarding.steps import Now
from nix_autocache.onboarding.storage import Storage
from nix_autocache.onboarding.terminal import PlainTerminal
from tests.harness import servers
from tests.harness.memory_repository import MemoryRepository, request

MAKES = {"rclone": servers.rclone_s3_of_host, "SeaweedFS": servers.seaweedfs_s3_of_host}


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in MAKES])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    make: Callable[[Path], AbstractContextManager[int]] = MAKES[request.param]
    with make(tmp_path_factory.mktemp("servers") / "s3") as port:
        yield port


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in servers.s3_env().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    shared = botocore.loaders.create_loader()
    monkeypatch.setattr(botocore.loaders, "create_loader", lambda *_: shared)


def planned(port: int, one: MemoryRepository, **flags: object) -> Storage:
    cache = f"s3://nix-cache?endpoint=http://127.0.0.1:{port}"
    return storage.plan(request(one, {}, **{"cache": cache, **flags}))


def run(plan: Storage) -> None:
    steps.carry_out(plan.steps, PlainTerminal())


@pytest.mark.usefixtures("environ")
def test_the_access_key_and_the_signing_key_become_secrets(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    one = MemoryRepository()
    plan = planned(port, one)
    run(plan)
    key = keys.parse_secret(one.secrets.pop("NIX_SIGNING_KEY"))
    assert one.secrets == {
        "AWS_ACCESS_KEY_ID": servers.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": servers.SECRET_KEY,
    }
    assert one.variables == {
        "NIX_CACHE": f"s3://nix-cache?endpoint=http://127.0.0.1:{port}",
        "NIX_CACHE_PUBLIC_KEYS": str(key.public),
    }
    assert one.variables == dict(plan.setup.variables)
    assert plan.setup.secrets == ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    said = capsys.readouterr().out
    assert servers.SECRET_KEY not in said
    assert str(key).partition(":")[2] not in said

    one.secrets["NIX_SIGNING_KEY"] = str(key)
    run(planned(port, one))
    assert one.secrets["NIX_SIGNING_KEY"] == str(key)
    things = {step.thing: step.look().now for step in planned(port, one).steps if "rule" not in step.thing}
    assert set(things.values()) == {Now.RIGHT}


@pytest.mark.usefixtures("environ")
def test_a_public_bucket_is_readable_or_the_step_says_that_it_is_not(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    one = MemoryRepository()
    run(planned(port, one, public=True))
    said = capsys.readouterr().out
    client = planned(port, one).steps[1].bucket.s3.client  # type: ignore[attr-defined]
    client.put_object(Bucket="nix-cache", Key="nix-cache-info", Body=b"StoreDir: /nix/store\n")
    url = f"http://127.0.0.1:{port}/nix-cache/nix-cache-info"
    if "has no policies of buckets" in said:
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(url, timeout=10)
    else:
        assert urllib.request.urlopen(url, timeout=10).read() == b"StoreDir: /nix/store\n"
    steps.undo(planned(port, one, undo=True).steps, PlainTerminal())
    assert one.variables == {}
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url, timeout=10)
    assert client.list_objects_v2(Bucket="nix-cache")["KeyCount"] == 1, "a bucket that holds something stays"


@pytest.mark.usefixtures("environ")
def test_a_wrong_access_key_is_one_line(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x" * 40)
    step = planned(port, MemoryRepository()).steps[1]
    with pytest.raises(Error, match=f"^127.0.0.1:{port} does not accept the access key: SignatureDoesNotMatch"):
        step.look()


@pytest.mark.usefixtures("environ")
def test_what_only_aws_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"--credentials role: 127.0.0.1:1 has no roles for jobs"):
        planned(1, MemoryRepository(), credentials="role")
    with pytest.raises(InputError, match=r"--key-in: the access key of 127.0.0.1:1 opens nothing in AWS"):
        planned(1, MemoryRepository(), key_in="aws-ssm:/key")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "temporary")
    with pytest.raises(InputError, match=r"the credentials for 127.0.0.1:1 expire"):
        planned(1, MemoryRepository())
