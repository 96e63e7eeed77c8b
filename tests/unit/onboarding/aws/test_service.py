"""What AWS refuses is one line, which says what is missing and what to do."""

from pathlib import Path

import pytest

from nix_autocache.errors import Error, InputError
from tests.harness.aws_person import BUCKET, PARAMETER, PROVIDER, ROLE_NAME, Person

# By moto's name of what is denied: the permission that AWS wants for it, and what it is wanted on.
REFUSALS = {
    "s3:ListBucket": ("s3:ListBucket", BUCKET),
    "s3:CreateBucket": ("s3:CreateBucket and s3:TagResource", BUCKET),
    "s3:PutLifecycleConfiguration": ("s3:PutLifecycleConfiguration", BUCKET),
    "ssm:GetParameter": ("ssm:GetParameter", PARAMETER),
    "ssm:PutParameter": ("ssm:PutParameter and ssm:AddTagsToResource", PARAMETER),
    "iam:GetOpenIDConnectProvider": ("iam:GetOpenIDConnectProvider", PROVIDER),
    "iam:CreateOpenIDConnectProvider": ("iam:CreateOpenIDConnectProvider and iam:TagOpenIDConnectProvider", ""),
    "iam:GetRole": ("iam:GetRole", ROLE_NAME),
    "iam:CreateRole": ("iam:CreateRole and iam:TagRole", ROLE_NAME),
    "iam:PutRolePolicy": ("iam:PutRolePolicy", ROLE_NAME),
}


@pytest.mark.slow
@pytest.mark.parametrize(("denied", "wanted"), REFUSALS.items(), ids=REFUSALS.keys())
def test_a_refusal_names_the_permission(person: Person, denied: str, wanted: tuple[str, str]) -> None:
    person.deny(denied)
    with pytest.raises(Error) as caught:
        person.init()
    permission, thing = wanted
    assert str(caught.value).startswith(f"AWS refuses {permission}{f' on {thing}' if thing else ': '}")
    assert str(caught.value).endswith("; allow that, or choose other credentials by AWS_PROFILE")
    assert "\n" not in str(caught.value)
    person.deny("nothing:AtAll")
    person.init()


def test_a_bucket_that_may_not_be_seen(person: Person) -> None:
    person.deny("s3:HeadBucket")
    with pytest.raises(
        Error, match=f"the bucket {BUCKET} is another account's, or these credentials lack s3:ListBucket"
    ):
        person.plan()


def test_a_bucket_of_another_account(person: Person) -> None:
    from moto.s3.models import s3_backends

    planned = person.plan()
    s3_backends["999999999999"]["aws"].create_bucket(BUCKET, "eu-west-1")
    with pytest.raises(InputError, match=f"--cache: the name of the bucket {BUCKET} is taken by another account"):
        planned.steps[1].apply()


def test_a_login_that_is_missing(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile work]\nsso_session = acme\nsso_account_id = 123456789012\nsso_role_name = admin\n"
        "[sso-session acme]\nsso_start_url = https://acme.awsapps.com/start\nsso_region = eu-west-1\n"
    )
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "work")
    said = "AWS: Error loading SSO Token: Token for acme does not exist; log in again: `aws sso login --profile work`"
    with pytest.raises(Error, match=f"^{said}$"):  # the first half is boto3's
        person.plan()


def test_a_session_that_has_expired(person: Person) -> None:
    person.account.control(expired="always")
    with pytest.raises(Error, match=r"AWS: .*; log in again: `aws sso login`$"):
        person.plan()


def test_no_credentials(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match="there are no credentials for AWS: set AWS_ACCESS_KEY_ID"):
        person.plan()


def test_an_access_key_that_is_none(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAAAAAAAAAAAAAAAAA")
    with pytest.raises(Error, match="AWS does not accept the access key: InvalidClientTokenId"):
        person.plan()


def test_a_profile_that_is_none(person: Person) -> None:
    with pytest.raises(InputError, match=r"The config profile .*nobody.* could not be found; `aws configure list"):
        person.plan(cache=f"s3://{BUCKET}?profile=nobody")


@pytest.mark.slow
def test_a_server_that_is_not_there(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Error, match=r'AWS: Could not connect to the endpoint URL: "http://127.0.0.1:1'):
        person.plan()
