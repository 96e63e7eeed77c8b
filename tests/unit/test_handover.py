"""Secrets on their way to an uploader of its own user: taken out of their files, or named where they cannot be."""

from pathlib import Path

import pytest

from nix_autocache.errors import InputError
from nix_autocache.job import secrets
from nix_autocache.job.destination import Destination
from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.keys import generate
from nix_autocache.nix.store_url import parse_cache_url

PROFILES = """
[default]
aws_access_key_id = first
aws_secret_access_key = hunter1
[ci]
aws_access_key_id = second
aws_secret_access_key = hunter2
aws_session_token = hunter3
credential_process = /home/runner/evil
"""


def place(url: str, key: str = "") -> Destination:
    return Destination(url=parse_cache_url(url), key_source=KeySource.parse(key), public_keys=(), embedded=False)


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    file = tmp_path / "credentials"
    file.write_text(PROFILES)
    return file


def test_a_key_in_a_file_is_read_and_the_file_removed(tmp_path: Path) -> None:
    file, key = tmp_path / "key", str(generate("test-1"))
    file.write_text(key)
    taken = secrets.take(place("https://cache", f"file:{file}"), {})
    assert str(taken.key) == key
    assert not file.exists()


@pytest.mark.parametrize(
    ("url", "variables", "wanted"),
    [
        ("s3://bucket", {}, ("first", "hunter1", None)),
        ("s3://bucket?profile=ci", {}, ("second", "hunter2", "hunter3")),
        ("s3://bucket", {"AWS_PROFILE": "ci"}, ("second", "hunter2", "hunter3")),
    ],
)
def test_a_profile_goes_to_the_uploader_and_its_file_away(
    url: str, variables: dict[str, str], wanted: tuple[str, str, str | None], credentials: Path
) -> None:
    given = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "HOME": "/home/runner", "AWS_REGION": "x", **variables}
    environ = secrets.take(place(url), given).environ
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    assert tuple(environ.get(name) for name in names) == wanted
    assert environ["AWS_REGION"] == "x"
    assert not credentials.exists()


def test_the_uploader_is_not_led_to_files_that_the_jobs_user_can_change(credentials: Path) -> None:
    """A profile may name a program to run."""
    led = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_CONFIG_FILE": "/home/x/config", "HOME": "/home/x"}
    assert not set(led) & set(secrets.take(place("s3://bucket"), led).environ)


def test_a_profile_that_is_not_there_is_said(credentials: Path) -> None:
    with pytest.raises(InputError, match="no profile other"):
        secrets.take(place("s3://bucket?profile=other"), {"AWS_SHARED_CREDENTIALS_FILE": str(credentials)})
    assert credentials.exists()


def test_what_stands_in_inputs_and_variables_is_named() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AZURE_STORAGE_ACCOUNT_KEY": "x", "PATH": "x"}
    assert secrets.as_text(place("s3://bucket", "name:key"), environ) == ["signing-key", "AWS_SECRET_ACCESS_KEY"]
    assert secrets.as_text(place("s3://bucket", "env:KEY"), {}) == ["signing-key"]
    assert secrets.as_text(place("s3://bucket", "file:/key"), {}) == []
    assert secrets.as_text(place("s3://bucket", "aws-ssm:/key"), {}) == []
    assert secrets.as_text(place("https://user:word@cache", "file:/key"), {}) == ["the password in `cache`"]


def test_an_address_is_no_secret_unless_a_password_is_in_it() -> None:
    addresses = {f"AWS_ENDPOINT_URL_{name}": "http://127.0.0.1:1" for name in ("SECRETS_MANAGER", "STS", "SSM")}
    assert secrets.as_text(place("s3://bucket", "aws-secretsmanager:key"), addresses) == []
    with_password = {"AWS_ENDPOINT_URL_S3": "https://me:word@host", "AWS_REGION": "x", "AWS_SECRET_ACCESS_KEY": ""}
    assert secrets.as_text(place("s3://bucket", "file:/key"), with_password) == ["AWS_ENDPOINT_URL_S3"]


def test_the_secrets_of_a_key_in_aws_count_whatever_the_cache_is(credentials: Path, tmp_path: Path) -> None:
    environ = {"AWS_SECRET_ACCESS_KEY": "x", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x", "GOOGLE_API_SECRET": "x"}
    named = ["AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_SECRET_ACCESS_KEY"]
    assert secrets.as_text(place("https://cache", "aws-ssm:key"), environ) == named
    assert secrets.as_text(place("https://cache", "file:/key"), environ) == []
    given = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    assert secrets.take(place("https://cache", "aws-ssm:key"), given).environ["AWS_SECRET_ACCESS_KEY"] == "hunter1"
    assert not credentials.exists()


def test_a_token_in_a_file_that_the_jobs_user_can_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token")
    for url, name in (("s3://b", "AWS_WEB_IDENTITY_TOKEN_FILE"), ("az://b", "AZURE_FEDERATED_TOKEN_FILE")):
        (way,) = secrets.files_that_stay(place(url), {name: str(file)})
        assert f"the job's user can read the token in {file}, which {name} names" in way
        assert list(secrets.files_that_stay(place("https://cache"), {name: str(file)})) == []
        assert list(secrets.files_that_stay(place(url), {name: "/no/file"})) == []


def test_a_profile_that_would_lead_to_the_machines_own_role_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\nrole_arn = arn:aws:iam::1:role/x\ncredential_source = Ec2InstanceMetadata\n")
    with pytest.raises(InputError, match="has no aws_access_key_id"):
        secrets.take(place("s3://bucket"), {"AWS_SHARED_CREDENTIALS_FILE": str(file)})


def test_a_file_that_would_stay_under_another_name_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("key")
    assert list(secrets.files_that_stay(place("https://cache", f"file:{file}"), {})) == []
    (tmp_path / "other").hardlink_to(file)
    (way,) = secrets.files_that_stay(place("https://cache", f"file:{file}"), {})
    assert way.startswith(
        f"the secret in {file} cannot be taken away: is it the only link, in a directory of its user?"
    )
