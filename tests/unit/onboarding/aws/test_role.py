"""The role of a repository's jobs: its name, what the plan shows of it, and what keeps it from being removed."""

import re

import pytest

from nix_autocache.onboarding import steps
from nix_autocache.onboarding.aws import role
from nix_autocache.onboarding.terminal import PlainTerminal
from tests.harness.aws_person import BUCKET, ROLE_NAME, Person


@pytest.mark.parametrize("repository", ["acme/project", "group/sub.group/project_1", f"acme/{'p' * 90}", "a/ü"])
def test_a_name_is_one_that_aws_takes(repository: str) -> None:
    assert re.fullmatch(r"nix-cache-[\w+=,.@-]{1,54}", role.name_for(repository), re.ASCII)


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert role.name_for(f"acme/{'p' * 90}a") != role.name_for(f"acme/{'p' * 90}b")


def test_the_plan_shows_for_whom_it_is_and_what_they_may(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    steps.plan(person.plan().steps, PlainTerminal())
    shown = capsys.readouterr().out
    assert "for sub repo:acme@123456/project@456789:ref:refs/heads/main\n" in shown
    assert f"may s3:GetObject, s3:PutObject, s3:AbortMultipartUpload on arn:aws:s3:::{BUCKET}/*\n" in shown
    assert person.state()["roles"] == {}, "a plan changes nothing"


def test_a_role_that_others_gave_policies_stays(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    person.init()
    iam = person.client("iam")
    document = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:List*", "Resource": "*"}]}'
    theirs = iam.create_policy(PolicyName="theirs", PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=ROLE_NAME, PolicyArn=theirs)
    person.undo()
    assert list(person.state()["roles"]) == [ROLE_NAME]
    assert f"role {ROLE_NAME}: somebody gave it other policies; remove those first" in capsys.readouterr().out
