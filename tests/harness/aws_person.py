"""A person with an AWS account in moto who runs `init`: the credentials, the flags, what is there afterwards."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import botocore.loaders
import pytest

from nix_autocache.nix.keys import SecretKey, parse_secret
from nix_autocache.onboarding import steps, storage
from nix_autocache.onboarding.storage import Storage
from nix_autocache.onboarding.terminal import PlainTerminal
from tests.harness.aws import REGION, Account
from tests.harness.aws_trust import ACCOUNT
from tests.harness.memory_repository import GITHUB, MemoryRepository, request
from tests.harness.tools import PROJECT

BUCKET = "nix-cache-of-acme"
CACHE = f"s3://{BUCKET}?region={REGION}"
PARAMETER = "/nix-cache/acme-project"
ROLE_NAME = "nix-cache-acme-project"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/{ROLE_NAME}"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{GITHUB}"


def documented() -> list[dict[str, Any]]:
    """The policies of docs/caches.md, in order."""
    text = (PROJECT / "docs/caches.md").read_text(encoding="utf-8")
    blocks = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
    return [block for block in blocks if "Statement" in block]


class Killed(BaseException):
    """The process ends here; nothing catches it."""


@dataclass
class Person:
    """May do everything, until `deny`."""

    account: Account
    keys: Mapping[str, Mapping[str, str]]  # the person's, and those of the account's owner, who looks
    repository: MemoryRepository = field(default_factory=MemoryRepository)

    def client(self, service: str) -> Any:
        """Of the account's owner."""
        return boto3_client(self.account, service, self.keys["owner"])

    def plan(self, **flags: object) -> Storage:
        return storage.plan_storage(request(self.repository, {}, **{"cache": CACHE, **flags}))

    def init(self, **flags: object) -> Storage:
        planned = self.plan(**flags)
        steps.carry_out(planned.steps, PlainTerminal())
        return planned

    def undo(self, **flags: object) -> None:
        steps.undo(self.plan(undo=True, **flags).steps, PlainTerminal())

    def deny(self, *actions: str) -> None:
        statement = {"Effect": "Deny", "Action": actions, "Resource": "*"}
        self.client("iam").put_user_policy(
            UserName="person",
            PolicyName="denied",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )

    def key(self) -> SecretKey:
        """The signing key that is in AWS."""
        found = self.client("ssm").get_parameter(Name=PARAMETER, WithDecryption=True)
        return parse_secret(found["Parameter"]["Value"])

    def trusted(self) -> list[str]:
        """Names of the keys that jobs trust."""
        return [key.partition(":")[0] for key in self.repository.variables["NIX_CACHE_PUBLIC_KEYS"].split()]

    def state(self) -> dict[str, Any]:
        """All that there is, without the keys themselves, which are new each time."""
        found = {"bucket": self._bucket(), **self._iam(), **self._parameters()}
        variables = {**self.repository.variables}
        if "NIX_CACHE_PUBLIC_KEYS" in variables:
            variables["NIX_CACHE_PUBLIC_KEYS"] = " ".join(self.trusted())
        return {**found, "variables": variables, "secrets": sorted(self.repository.secrets)}

    def _bucket(self) -> dict[str, Any]:
        s3 = self.client("s3")
        if not any(each["Name"] == BUCKET for each in s3.list_buckets()["Buckets"]):
            return {}
        asked = {
            "tags": lambda: s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"],
            "block": lambda: s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"],
            "rules": lambda: s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"],
            "policy": lambda: json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"]),
        }
        return {"exists": True, **{name: _or_none(ask, s3) for name, ask in asked.items()}}

    def _iam(self) -> dict[str, Any]:
        iam = self.client("iam")
        roles = {
            role["RoleName"]: {
                "trust": role["AssumeRolePolicyDocument"],
                "session": iam.get_role(RoleName=role["RoleName"])["Role"]["MaxSessionDuration"],
                "policies": {
                    name: iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
                    for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
                },
            }
            for role in iam.list_roles()["Roles"]
        }
        arns = [each["Arn"] for each in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]
        details = {arn: iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn) for arn in arns}
        return {"roles": roles, "providers": {arn: found["ClientIDList"] for arn, found in details.items()}}

    def _parameters(self) -> dict[str, Any]:
        ssm = self.client("ssm")
        found = ssm.describe_parameters()["Parameters"]
        return {
            "parameters": {each["Name"]: (each["Type"], each["Description"].partition("=")[0][:40]) for each in found}
        }


def boto3_client(account: Account, service: str, key: Mapping[str, str]) -> Any:
    """With an access key as IAM or STS gives it."""
    import boto3

    return boto3.client(
        service,
        endpoint_url=account.url,
        region_name=REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key.get("SessionToken"),
    )


@contextmanager
def person_of(account: Account, patch: pytest.MonkeyPatch) -> Iterator[Person]:
    """In an empty account that enforces its policies."""
    shared = botocore.loaders.create_loader()  # of boto3's descriptions of services, which take longer than requests
    patch.setattr(botocore.loaders, "create_loader", lambda *_: shared)
    account.reset()
    iam = account.client("iam")
    keys = {}
    for name in ("person", "owner"):
        iam.create_user(UserName=name)
        allowed = json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        )
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=allowed)
        keys[name] = iam.create_access_key(UserName=name)["AccessKey"]
    account.enforce()
    environ = {
        "AWS_ACCESS_KEY_ID": keys["person"]["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["person"]["SecretAccessKey"],
        "AWS_ENDPOINT_URL": account.url,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in environ.items():
        patch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        patch.delenv(name, raising=False)
    yield Person(account, keys)
    account.reset()


def _or_none(ask: Callable[[], Any], s3: Any) -> Any:
    try:
        return ask()
    except s3.exceptions.ClientError:
        return None
