"""A job's secrets: masked in the log, read once, and none where a dry run has none."""

from pathlib import Path

import pytest

from nix_autocache.caches.http import HttpCache
from nix_autocache.caches.protocol import Access
from nix_autocache.ci.detect import detect
from nix_autocache.errors import InputError
from nix_autocache.job import secrets, upload_spec
from nix_autocache.job.context import Context
from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.keys import generate
from nix_autocache.nix.store import Nix
from nix_autocache.queue.directory import Queue
from nix_autocache.settings import read

KEY = generate("cache-1")
CACHE = "s3://bucket?region=eu-west-1"


def context(inputs: dict[str, str], environ: dict[str, str] | None = None) -> Context:
    given = {"GITHUB_ACTIONS": "true", "HOME": "/nonexistent", **(environ or {})}
    return Context(read({"cache": CACHE, **inputs}, {}, {}), detect(given), given)


@pytest.mark.parametrize("text", [str(KEY), "env:THE_KEY"], ids=["as text", "in a variable"])
def test_the_key_is_masked_wherever_it_was(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    job = context({"signing-key": text}, {"THE_KEY": str(KEY)})
    found = secrets.read(job, job.destination())
    assert found.key == KeySource.of_key(KEY)
    assert found.public_key == KEY.public
    assert capsys.readouterr().out == f"::add-mask::{KEY}\n"
    assert str(KEY) not in repr(found)


def test_a_key_in_a_file_is_masked_and_its_file_goes_only_if_that_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    job = context({"signing-key": f"file:{file}"})
    assert secrets.read(job, job.destination()).key == KeySource.of_key(KEY)
    assert file.exists()
    assert secrets.read(job, job.destination(), and_remove_files=True).key == KeySource.of_key(KEY)
    assert not file.exists()
    assert capsys.readouterr().out == f"::add-mask::{KEY}\n" * 2
    with pytest.raises(InputError, match="signing-key"):
        secrets.read(job, job.destination())


def test_a_key_in_aws_stays_there_and_nothing_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    job = context({"signing-key": "aws-ssm:/ci/key"})
    found = secrets.read(job, job.destination(), and_remove_files=True)
    assert found.key == KeySource.parse("aws-ssm:/ci/key")
    assert found.public_key is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "inputs",
    [{}, {"signing-key": "env:GONE", "aws-role": "arn:aws:iam::123456789012:role/ci"}],
    ids=["no key", "no id token"],
)
def test_without_credentials_there_is_no_key_and_no_error(
    inputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a dry run; what the key's input names need not even be there."""
    job = context(inputs)
    found = secrets.read(job, job.destination())
    assert not found.key
    assert found.public_key is None
    assert capsys.readouterr().out == ""


def test_of_the_variables_only_those_of_the_cache_are_given() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "OTHER_TOKEN": "hunter2"}
    job = context({"signing-key": str(KEY)}, environ)
    given = secrets.read(job, job.destination()).environ
    assert given.items() >= {("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")}
    assert "OTHER_TOKEN" not in given


def test_nothing_that_holds_a_secret_shows_it(tmp_path: Path) -> None:
    """Not even where it is printed by mistake, as in a traceback."""
    hidden = ("hunter2", "aws-secret", "proxy-secret", str(KEY).partition(":")[2])
    environ = {"AWS_SECRET_ACCESS_KEY": "aws-secret", "https_proxy": "http://me:proxy-secret@proxy.example"}
    job = context({"cache": "https://user:hunter2@cache.example/a", "signing-key": str(KEY)}, environ)
    nix, destination = Nix(tmp_path), job.destination()
    url, found = destination.url, secrets.read(job, destination)
    spec = upload_spec.for_this_user(job, destination, found, nix, Queue(tmp_path), 0)
    origin = HttpCache(url, job.environ)._servers.home.origin
    assert "hunter2" in str(url)
    assert "proxy-secret" in str(origin.proxy and origin.proxy.geturl())
    for each in (job, job.settings, url, destination, found, spec, Access(job.environ, nix, KEY), origin):
        assert [secret for secret in hidden if secret in repr(each)] == [], type(each)
