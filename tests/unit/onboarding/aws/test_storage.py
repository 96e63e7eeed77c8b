"""Bucket, key and role in AWS, as `init` makes them: against moto over HTTP, which enforces the policies."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import botocore.httpsession
import pytest

from nix_autocache.errors import InputError
from nix_autocache.onboarding.aws import policies
from nix_autocache.onboarding.aws.bucket_rules import UNFINISHED, RuleStep
from nix_autocache.onboarding.steps import Now
from tests.harness.aws_person import BUCKET, CACHE, PARAMETER, PROVIDER, ROLE, ROLE_NAME, Killed, Person

Damage = Callable[[Person], object]


def test_an_empty_account_gets_what_jobs_need(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    planned = person.init()
    state = person.state()
    assert state["bucket"]["tags"] == [{"Key": "nix-autocache", "Value": "acme/project"}]
    assert set(state["bucket"]["block"].values()) == {True}
    assert state["bucket"]["rules"][0]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert (set(state["roles"]), set(state["providers"])) == ({ROLE_NAME}, {PROVIDER})
    assert state["parameters"][PARAMETER][0] == "SecureString"
    assert person.repository.secrets == {}
    assert person.repository.variables == {
        "NIX_CACHE": CACHE,
        "NIX_CACHE_PUBLIC_KEYS": str(person.key().public),
        "NIX_CACHE_ROLE": ROLE,
    }
    assert person.repository.variables == dict(planned.setup.variables)
    assert planned.setup.key_source == f"aws-ssm:{PARAMETER}"
    assert planned.notes == ("AWS account 123456789012, as arn:aws:iam::123456789012:user/person",)
    assert str(person.key()).partition(":")[2] not in capsys.readouterr().out


def test_a_second_run_changes_nothing(person: Person) -> None:
    person.init()
    key, state = person.key(), person.state()
    person.deny("s3:Put*", "s3:Create*", "iam:Create*", "iam:Put*", "iam:Update*", "ssm:Put*")
    planned = person.init()
    assert {step.look().now for step in planned.steps} == {Now.RIGHT}
    assert (person.key(), person.state()) == (key, state)


DAMAGES: dict[str, Damage] = {
    "the trust policy": lambda one: one.client("iam").update_assume_role_policy(
        RoleName=ROLE_NAME,
        PolicyDocument=json.dumps(policies.trust("arn:aws:iam::1:oidc-provider/x", one.repository.its_subject)),
    ),
    "the rights": lambda one: one.client("iam").put_role_policy(
        RoleName=ROLE_NAME,
        PolicyName="nix-cache",
        PolicyDocument=json.dumps(policies.push("aws", "another", "", "")),
    ),
    "the rights are gone": lambda one: one.client("iam").delete_role_policy(RoleName=ROLE_NAME, PolicyName="nix-cache"),
    "the session": lambda one: one.client("iam").update_role(RoleName=ROLE_NAME, MaxSessionDuration=7200),
    "the provider": lambda one: one.client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=PROVIDER),
    "the rule": lambda one: one.client("s3").delete_bucket_lifecycle(Bucket=BUCKET),
    "the block": lambda one: one.client("s3").delete_public_access_block(Bucket=BUCKET),
    "the bucket": lambda one: one.client("s3").delete_bucket(Bucket=BUCKET),
    "a variable": lambda one: one.repository.variables.pop("NIX_CACHE_ROLE"),
    "the public keys": lambda one: one.repository.variables.pop("NIX_CACHE_PUBLIC_KEYS"),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_was_changed_is_put_right(person: Person, damage: Damage) -> None:
    person.init()
    key, state = person.key(), person.state()
    damage(person)
    assert person.state() != state
    person.init()
    assert (person.key(), person.state()) == (key, state)


def test_an_audience_is_added_to_a_provider_that_is_there(person: Person) -> None:
    person.client("iam").create_open_id_connect_provider(
        Url=f"https://{PROVIDER.partition('/')[2]}", ClientIDList=["x"]
    )
    person.init()
    assert person.state()["providers"] == {PROVIDER: ["x", "sts.amazonaws.com"]}
    person.undo()
    assert person.state()["providers"], "init did not make it"


@pytest.mark.slow
def test_runs_that_are_killed_after_one_change_each_make_it_all(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a run goes on from each state that a kill before any request can leave."""
    nothing = person.state()
    person.init()
    everything = person.state()
    person.undo()
    assert _runs(person, monkeypatch, person.init) > 8
    assert person.state() == everything
    assert _runs(person, monkeypatch, lambda: person.undo(cache=None)) > 8
    assert person.state() == nothing


def _runs(person: Person, monkeypatch: pytest.MonkeyPatch, run: Callable[[], object]) -> int:
    """How many it takes when each is killed before its second change."""
    return next(count for count in range(1, 99) if _survives(person, 2, monkeypatch, run))


def _survives(person: Person, number: int, monkeypatch: pytest.MonkeyPatch, run: Callable[[], object]) -> bool:
    """True if it made fewer changes than this, in AWS and at the CI host."""
    left = [number]

    def before() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    send = botocore.httpsession.URLLib3Session.send

    def counted(self: Any, request: Any) -> Any:
        if not _only_looks(request):
            before()
        return send(self, request)

    with monkeypatch.context() as patch:
        patch.setattr(botocore.httpsession.URLLib3Session, "send", counted)
        patch.setattr(person.repository, "before", before)
        try:
            run()
        except Killed:
            return False
    return True


def _only_looks(request: Any) -> bool:
    said = f"{request.body} {request.headers.get('X-Amz-Target')}"
    name = re.search(r"(?:Action=|AmazonSSM\.)(\w+)", said)
    return request.method in {"GET", "HEAD"} or bool(name and name[1].startswith(("Get", "List", "Describe")))


def test_undo_leaves_nothing(person: Person) -> None:
    before = person.state()
    person.init()
    person.undo()
    assert person.state() == before


@pytest.mark.slow
def test_undo_keeps_a_bucket_that_holds_something_and_its_key(
    person: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    person.init()
    key = person.key()
    person.client("s3").put_object(Bucket=BUCKET, Key="a.narinfo", Body=b"")
    person.undo()
    assert person.state()["bucket"]
    assert person.key() == key
    assert person.state()["roles"] == {}
    said = capsys.readouterr().out
    assert f"bucket {BUCKET} in eu-west-1: it holds something" in said
    assert "its signatures are of this key" in said


@pytest.mark.slow
def test_what_is_of_others_stays(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    s3 = person.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 9}}
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [theirs]})
    person.init()
    state = person.state()["bucket"]
    assert [rule["ID"] for rule in state["rules"]] == ["theirs", "nix-autocache-unfinished-uploads"]
    assert (state["block"], state["tags"]) == (None, None)
    other = replace(person.repository, name="acme/other", variables={})
    first, person.repository = person.repository, other
    person.init()
    person.repository = first
    person.undo()
    state = person.state()
    assert [rule["ID"] for rule in state["bucket"]["rules"]] == ["theirs"]
    assert list(state["roles"]) == ["nix-cache-acme-other"]
    assert "the role nix-cache-acme-other needs it" in capsys.readouterr().out


@pytest.mark.slow
def test_undo_leaves_the_settings_of_a_bucket_that_init_made_for_another_repository(person: Person) -> None:
    person.init(public=True)
    bucket = person.state()["bucket"]
    first, person.repository = person.repository, replace(person.repository, name="acme/other", variables={})
    person.init()
    person.undo()
    person.undo(public=True)
    assert person.state()["bucket"] == bucket
    person.repository = first
    person.undo()
    assert person.state()["bucket"] == {}


def test_a_setting_beside_the_rules_is_not_put_back_to_its_default() -> None:
    """moto does not have it; AWS takes the default where a request does not name it."""
    put: list[dict[str, Any]] = []
    setting = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}

    class Bucket:
        name = BUCKET
        s3 = SimpleNamespace(is_aws=True)

        def ask(self, operation: str, *, missing: object = (), **parameters: Any) -> Any:
            put.extend([parameters] if operation.startswith("put_") else [])
            return {"Rules": [{"ID": "theirs"}], **setting}

    RuleStep(cast("Any", Bucket()), UNFINISHED).apply()
    assert put[0].items() >= setting.items()


def test_a_role_and_a_parameter_of_another_repository_are_not_taken(person: Person) -> None:
    person.init()
    person.repository = replace(person.repository, name="acme-project", variables={})
    with pytest.raises(InputError, match="exists, and init did not make it for acme-project"):
        person.init()


@pytest.mark.slow
def test_everybody_may_read_a_public_bucket_and_no_longer_after_undo(person: Person) -> None:
    person.init(public=True)
    s3 = person.client("s3")
    state = person.state()["bucket"]
    assert state["policy"]["Statement"][0]["Action"] == ["s3:GetObject"]
    assert not state["block"]["BlockPublicPolicy"]
    assert {step.look().now for step in person.plan(public=True).steps} == {Now.RIGHT}
    theirs = {"Sid": "theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "*"}
    policy = {**state["policy"], "Statement": [theirs, *state["policy"]["Statement"]]}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    s3.put_object(Bucket=BUCKET, Key="a.narinfo", Body=b"")
    person.undo()
    assert person.state()["bucket"]["policy"]["Statement"] == [theirs]


def test_the_plan_warns_where_the_builds_of_a_private_repository_become_public(person: Person) -> None:
    assert not any("private" in note for note in person.plan(public=True).notes)
    person.repository.is_public = False
    assert not any("private" in note for note in person.plan().notes)
    assert any(note.startswith("warning: acme/project is private") for note in person.plan(public=True).notes)


def test_a_bucket_in_another_region_is_one_line(person: Person) -> None:
    person.init()
    with pytest.raises(InputError, match=r"is in eu-west-1, not us-west-2; write region=eu-west-1"):
        person.plan(cache=f"s3://{BUCKET}?region=us-west-2")
    planned = person.plan(cache=f"s3://{BUCKET}")
    assert planned.setup.cache == CACHE, "without a region, the bucket's own counts"


def test_a_bucket_in_the_first_region_has_no_location(person: Person) -> None:
    planned = person.init(cache="s3://in-the-first?region=us-east-1")
    assert planned.setup.cache == "s3://in-the-first?region=us-east-1"
    assert person.client("s3").get_bucket_location(Bucket="in-the-first")["LocationConstraint"] is None


def test_jobs_do_not_get_the_profile_of_the_person(
    person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = person.keys["person"]
    config = tmp_path / "config"
    config.write_text(
        f"[profile work]\nregion = eu-central-1\naws_access_key_id = {key['AccessKeyId']}\n"
        f"aws_secret_access_key = {key['SecretAccessKey']}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    planned = person.plan(cache=f"s3://{BUCKET}?profile=work")
    assert planned.setup.cache == f"s3://{BUCKET}?region=eu-central-1"


def test_an_access_key_in_aws_becomes_secrets(person: Person) -> None:
    planned = person.init(credentials="keys")
    assert sorted(person.repository.secrets) == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "NIX_SIGNING_KEY"]
    assert person.state()["roles"] == {}
    assert planned.setup.role == ""
    assert planned.setup.secrets == ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    assert "jobs can do all that it can" in planned.notes[-1]
