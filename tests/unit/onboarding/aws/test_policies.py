"""Who gets the role, and what it may do: asked of moto, which enforces policies, and of the documentation."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from nix_autocache.onboarding.aws import policies
from nix_autocache.onboarding.repository import Subject
from nix_autocache.system.dataclass import replace
from tests.harness.aws_person import BUCKET, PARAMETER, PROVIDER, ROLE, Person, boto3_client, documented
from tests.harness.aws_trust import token
from tests.harness.memory_repository import GITHUB, SUBJECT

AUDIENCE = "sts.amazonaws.com"
NEW = SUBJECT.subjects[0]
OLD = "repo:acme/project:ref:refs/heads/main"
ON_GITLAB = "project_path:acme/project:ref_type:branch:ref:main"
OF_GITLAB = Subject(issuer="gitlab.com", audience=AUDIENCE, subjects=(ON_GITLAB,), session=14400)


def session(person: Person, subject: str, issuer: str = GITHUB, seconds: int = 3600, **claims: str) -> Any:
    """The credentials that a job with such a token gets."""
    identity = token(issuer, claims.pop("aud", AUDIENCE), subject, **claims)
    answer = person.client("sts").assume_role_with_web_identity(
        RoleArn=ROLE, RoleSessionName="job", WebIdentityToken=identity, DurationSeconds=seconds
    )
    return answer["Credentials"]


def refusal(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.slow
def test_a_job_may_read_and_write_the_cache_and_nothing_else(person: Person) -> None:
    person.init()
    person.client("s3").create_bucket(Bucket="another", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    credentials = session(person, NEW, repository_id="456789")
    s3, ssm, iam = (boto3_client(person.account, name, credentials) for name in ("s3", "ssm", "iam"))
    s3.put_object(Bucket=BUCKET, Key="a.narinfo", Body=b"a")
    assert s3.get_object(Bucket=BUCKET, Key="a.narinfo")["Body"].read() == b"a"
    s3.head_object(Bucket=BUCKET, Key="a.narinfo")
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="nar/b")["UploadId"]
    s3.abort_multipart_upload(Bucket=BUCKET, Key="nar/b", UploadId=upload)
    ssm.get_parameter(Name=PARAMETER, WithDecryption=True)

    person.client("ssm").put_parameter(Name="/nix-cache/another", Value="x", Type="SecureString")
    denied = {"AccessDenied", "403"}  # the second is moto's for parameters
    assert refusal(ssm.get_parameter, Name="/nix-cache/another") in denied
    assert refusal(s3.delete_object, Bucket=BUCKET, Key="a.narinfo") in denied
    assert refusal(s3.put_bucket_policy, Bucket=BUCKET, Policy="{}") in denied
    assert refusal(s3.delete_bucket, Bucket=BUCKET) in denied
    assert refusal(s3.put_object, Bucket="another", Key="a.narinfo", Body=b"") in denied
    assert refusal(s3.list_objects_v2, Bucket="another") in denied
    assert refusal(ssm.put_parameter, Name=PARAMETER, Value="x", Overwrite=True) in denied
    assert refusal(iam.list_roles) in denied


def test_with_a_prefix_a_job_writes_below_it_only(person: Person) -> None:
    person.init(cache=f"s3://{BUCKET}/nix/cache?region=eu-west-1")
    s3 = boto3_client(person.account, "s3", session(person, NEW, repository_id="456789"))
    s3.put_object(Bucket=BUCKET, Key="nix/cache/a.narinfo", Body=b"")
    assert refusal(s3.put_object, Bucket=BUCKET, Key="nix/a.narinfo", Body=b"") == "AccessDenied"
    assert refusal(s3.put_object, Bucket=BUCKET, Key="nix/cache-of-others/a", Body=b"") == "AccessDenied"


# What a token may say, by the format of the repository's subjects, and whether it gets the role.
TOKENS: dict[str, tuple[Subject, dict[str, str], str]] = {
    "the branch": (SUBJECT, {}, ""),
    "another branch": (SUBJECT, {"subject": NEW.replace("main", "feature")}, "AccessDenied"),
    "a pull request": (SUBJECT, {"subject": "repo:acme@123456/project@456789:pull_request"}, "AccessDenied"),
    "a fork": (
        SUBJECT,
        {"subject": "repo:mallory@7/project@8:ref:refs/heads/main", "repository_id": "8"},
        "AccessDenied",
    ),
    "a new repository of the same name": (
        SUBJECT,
        {"subject": "repo:acme@123456/project@99:ref:refs/heads/main", "repository_id": "99"},
        "AccessDenied",
    ),
    "another audience": (SUBJECT, {"aud": "https://github.com/acme"}, "InvalidIdentityToken"),
    "another host": (SUBJECT, {"issuer": "ghes.example.org/_services/token"}, "InvalidIdentityToken"),
    "the branch, in the old format": (replace(SUBJECT, subjects=(OLD,)), {"subject": OLD}, ""),
    "the old format, where the new one is in use": (SUBJECT, {"subject": OLD}, "AccessDenied"),
    "a new repository of the same name, in the old format": (
        replace(SUBJECT, subjects=(OLD,)),
        {"subject": OLD, "repository_id": "99"},
        "AccessDenied",
    ),
    "the second of two branches": (
        replace(SUBJECT, subjects=(NEW, NEW.replace("main", "release"))),
        {"subject": NEW.replace("main", "release")},
        "",
    ),
    "GitLab": (OF_GITLAB, {"issuer": "gitlab.com", "subject": ON_GITLAB}, ""),
    "GitLab, another branch": (
        OF_GITLAB,
        {"issuer": "gitlab.com", "subject": ON_GITLAB.replace("main", "other")},
        "AccessDenied",
    ),
    "GitLab, a tag of the branch's name": (
        OF_GITLAB,
        {"issuer": "gitlab.com", "subject": ON_GITLAB.replace("branch", "tag")},
        "AccessDenied",
    ),
}


@pytest.mark.parametrize(("subject", "said", "code"), TOKENS.values(), ids=TOKENS.keys())
def test_the_role_is_for_jobs_of_the_repository_on_its_branches(
    person: Person, subject: Subject, said: dict[str, str], code: str
) -> None:
    person.repository.its_subject = subject
    steps = person.plan().steps
    for step in steps:
        if step.thing.startswith(("role", "identity provider")):
            step.apply()
    claims: dict[str, Any] = {"subject": NEW, "repository_id": "456789", **said}
    assert (refusal(session, person=person, **claims) if code else session(person, **claims) and "") == code


def test_jobs_whose_token_cannot_be_had_again_get_a_long_session(person: Person) -> None:
    person.repository.its_subject = OF_GITLAB
    person.init()
    assert session(person, ON_GITLAB, "gitlab.com", seconds=14400)
    assert refusal(session, person=person, subject=ON_GITLAB, issuer="gitlab.com", seconds=43200) == "ValidationError"


@pytest.mark.slow
def test_the_collector_may_delete_with_the_documented_policy_and_write_no_path(person: Person) -> None:
    """By the requests that it makes: moto refuses all signed URLs, by which it deletes a single name."""
    person.init()
    iam = person.client("iam")
    policy = json.dumps(documented()[5]).replace("my-bucket/", f"{BUCKET}/ci/").replace("my-bucket", BUCKET)
    iam.create_user(UserName="collector")
    iam.put_user_policy(UserName="collector", PolicyName="gc", PolicyDocument=policy)
    s3 = boto3_client(person.account, "s3", iam.create_access_key(UserName="collector")["AccessKey"])
    lock = s3.put_object(Bucket=BUCKET, Key="ci/autocache/gc/lock", Body=b"", IfNoneMatch="*")
    s3.put_object(Bucket=BUCKET, Key="ci/autocache/gc/lock", Body=b"x", IfMatch=lock["ETag"])
    assert s3.get_object(Bucket=BUCKET, Key="ci/autocache/gc/lock")["Body"].read() == b"x"
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="ci/")["KeyCount"] == 1
    deleted = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "ci/autocache/gc/lock"}]})
    assert "Errors" not in deleted
    s3.delete_object(Bucket=BUCKET, Key="ci/a.narinfo")
    for key in ("ci/a.narinfo", "ci/nar/x.nar", "ci/autocache/pins/x", "autocache/gc/lock"):
        assert refusal(s3.put_object, Bucket=BUCKET, Key=key, Body=b"") == "AccessDenied", key
    assert refusal(s3.delete_object, Bucket=BUCKET, Key="elsewhere") == "AccessDenied"


def test_the_documentation_shows_what_init_writes() -> None:
    key = "arn:aws:ssm:eu-west-1:123456789012:parameter/nix-cache/acme-project"
    assert documented()[:5] == [
        policies.push("aws", "my-bucket", "", ""),
        policies.trust(PROVIDER, SUBJECT),
        policies.trust(PROVIDER, replace(SUBJECT, subjects=(OLD,))),
        policies.trust(PROVIDER.replace(GITHUB, "gitlab.com"), OF_GITLAB),
        policies.push("aws", "my-bucket", "", key),
    ]


def test_a_policy_is_compared_by_what_it_says() -> None:
    """S3 and SeaweedFS return one in other words than it was given."""
    wanted = policies.with_public_read({}, policies.public_read("aws", "b", ""))
    (statement,) = wanted["Statement"]
    returned = {**wanted, "Statement": {**statement, "Principal": {"AWS": "*"}, "Action": "s3:GetObject"}}
    assert policies.same(returned, wanted)
    assert policies.same({"Action": ["a", "b"]}, {"Action": ["b", "a"]})
    assert not policies.same({"Action": ["a", "b"]}, {"Action": "a"})
    assert not policies.same({**returned, "Statement": {**returned["Statement"], "Action": "s3:*"}}, wanted)
