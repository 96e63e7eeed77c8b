"""Secrets on their way to an uploader of its own user: taken out of their files, or named where they cannot be."""

from pathlib import Path

import pytest

from nix_autocache.errors import InputError
from nix_autocache.nix.key_source import KeySource
from nix_autocache.nix.keys import generate, parse_secret
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.uploader.secrets import Secrets, SecretSources

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


def sources(url: str, environ: dict[str, str], key: str = "") -> SecretSources:
    return SecretSources(parse_cache_url(url), KeySource.parse(key), environ)


def taken(url: str, environ: dict[str, str], key: str = "") -> Secrets:
    return sources(url, environ, key).read(and_remove_files=True)


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    file = tmp_path / "credentials"
    file.write_text(PROFILES)
    return file


def test_a_key_in_a_file_is_read_and_the_file_removed(tmp_path: Path) -> None:
    file, key = tmp_path / "key", str(generate("test-1"))
    file.write_text(key)
    secrets = taken("https://cache", {}, f"file:{file}")
    assert str(secrets.key) == key
    assert secrets.public_key == parse_secret(key).public
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
    environ = taken(url, given).environ
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    assert tuple(environ.get(name) for name in names) == wanted
    assert environ["AWS_REGION"] == "x"
    assert not credentials.exists()


def test_the_uploader_is_not_led_to_files_that_the_jobs_user_can_change(credentials: Path) -> None:
    """A profile may name a program to run."""
    led = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_CONFIG_FILE": "/home/x/config", "HOME": "/home/x"}
    assert not set(led) & set(taken("s3://bucket", led).environ)


def test_a_profile_that_is_not_there_is_said(credentials: Path) -> None:
    with pytest.raises(InputError, match="no profile other"):
        taken("s3://bucket?profile=other", {"AWS_SHARED_CREDENTIALS_FILE": str(credentials)})
    assert credentials.exists()


def test_what_stands_in_inputs_and_variables_is_named() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AZURE_STORAGE_ACCOUNT_KEY": "x", "PATH": "x"}
    assert sources("s3://bucket", environ, "name:key").as_text() == ["signing-key", "AWS_SECRET_ACCESS_KEY"]
    assert sources("s3://bucket", {}, "env:KEY").as_text() == ["signing-key"]
    assert sources("s3://bucket", {}, "file:/key").as_text() == []
    assert sources("s3://bucket", {}, "aws-ssm:/key").as_text() == []
    assert sources("https://user:word@cache", {}, "file:/key").as_text() == ["the password in `cache`"]


def test_an_address_is_no_secret_unless_a_password_is_in_it() -> None:
    addresses = {f"AWS_ENDPOINT_URL_{name}": "http://127.0.0.1:1" for name in ("SECRETS_MANAGER", "STS", "SSM")}
    assert sources("s3://bucket", addresses, "aws-secretsmanager:key").as_text() == []
    with_password = {"AWS_ENDPOINT_URL_S3": "https://me:word@host", "AWS_REGION": "x", "AWS_SECRET_ACCESS_KEY": ""}
    assert sources("s3://bucket", with_password, "file:/key").as_text() == ["AWS_ENDPOINT_URL_S3"]


def test_the_secrets_of_a_key_in_aws_count_whatever_the_cache_is(credentials: Path, tmp_path: Path) -> None:
    environ = {"AWS_SECRET_ACCESS_KEY": "x", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x", "GOOGLE_API_SECRET": "x"}
    named = ["AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_SECRET_ACCESS_KEY"]
    assert sources("https://cache", environ, "aws-ssm:key").as_text() == named
    assert sources("https://cache", environ, "file:/key").as_text() == []
    given = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    assert taken("https://cache", given, "aws-ssm:key").environ["AWS_SECRET_ACCESS_KEY"] == "hunter1"
    assert not credentials.exists()


def test_a_token_in_a_file_that_the_jobs_user_can_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token")
    for url, name in (("s3://b", "AWS_WEB_IDENTITY_TOKEN_FILE"), ("az://b", "AZURE_FEDERATED_TOKEN_FILE")):
        (way,) = sources(url, {name: str(file)}).files_that_stay()
        assert f"the job's user can read the token in {file}, which {name} names" in way
        assert list(sources("https://cache", {name: str(file)}).files_that_stay()) == []
        assert list(sources(url, {name: "/no/file"}).files_that_stay()) == []


def test_a_profile_that_would_lead_to_the_machines_own_role_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\nrole_arn = arn:aws:iam::1:role/x\ncredential_source = Ec2InstanceMetadata\n")
    with pytest.raises(InputError, match="has no aws_access_key_id"):
        taken("s3://bucket", {"AWS_SHARED_CREDENTIALS_FILE": str(file)})


def test_a_file_that_would_stay_under_another_name_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("key")
    assert list(sources("https://cache", {}, f"file:{file}").files_that_stay()) == []
    (tmp_path / "other").hardlink_to(file)
    (way,) = sources("https://cache", {}, f"file:{file}").files_that_stay()
    assert way.startswith(
        f"the secret in {file} cannot be taken away: is it the only link, in a directory of its user?"
    )
