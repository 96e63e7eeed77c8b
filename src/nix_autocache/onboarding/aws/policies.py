"""The policies that `init` writes in AWS: who may assume the role, what it may do, and what everybody may read.

docs/caches.md shows them; a test compares. Format: "IAM JSON policy elements reference" in AWS's documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..repository import Subject

Policy = Mapping[str, Any]

_VERSION: Final = "2012-10-17"
PUBLIC_SID: Final = "NixAutocachePublicRead"


def trust(provider: str, subject: Subject) -> Policy:
    """Jobs of the repository, on the branches that may push, may assume the role. `provider` is an ARN.

    `sub` names owner and repository, in the format of the day, and the branch. `repository_id` is a number that a new
    repository of the same name does not have.
    """
    wanted: dict[str, str | list[str]] = {"aud": subject.audience, "sub": list(subject.subjects)}
    if subject.repository_id:
        wanted["repository_id"] = subject.repository_id
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{subject.issuer}:{claim}": value for claim, value in wanted.items()}},
    }
    return {"Version": _VERSION, "Statement": [statement]}


def push(partition: str, bucket: str, prefix: str, parameter: str) -> Policy:
    """What a job needs to read and write the cache, and to read the signing key, if it is in the parameter of this ARN.

    Nothing can be deleted with it. `prefix` is empty or begins with a slash; it may be a pattern.
    """
    statements = [
        _allow(["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], _objects(partition, bucket, prefix)),
        _allow(["s3:ListBucket", "s3:GetBucketLocation"], f"arn:{partition}:s3:::{bucket}"),
    ]
    if parameter:
        statements.append(_allow(["ssm:GetParameter"], parameter))
    return {"Version": _VERSION, "Statement": statements}


def public_read(partition: str, bucket: str, prefix: str) -> Policy:
    """A statement of a bucket's policy by which everybody may read the objects, and not list them."""
    allowed = _allow(["s3:GetObject"], _objects(partition, bucket, prefix))
    return {"Sid": PUBLIC_SID, "Principal": "*", **allowed}


def without_public_read(policy: Policy) -> Policy:
    """A bucket's policy without the statement of `public_read`."""
    return {**policy, "Statement": [each for each in statements(policy) if each.get("Sid") != PUBLIC_SID]}


def with_public_read(policy: Policy, statement: Policy) -> Policy:
    """A bucket's policy, or an empty one, with the statement of `public_read`."""
    others = statements(without_public_read(policy))
    return {"Version": _VERSION, **policy, "Statement": [*others, statement]}


def statements(policy: Policy) -> Sequence[Policy]:
    found = policy.get("Statement", [])
    return [found] if isinstance(found, Mapping) else list(found)


def same(one: Policy, other: Policy) -> bool:
    """True if they say the same: services return a policy with lists of one as their element, and in another order."""
    return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return "*" if value == {"AWS": "*"} else {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        elements = sorted(map(_plain, value), key=str)
        return elements[0] if len(elements) == 1 else elements
    return value


def _objects(partition: str, bucket: str, prefix: str) -> str:
    return f"arn:{partition}:s3:::{bucket}{prefix}/*"


def _allow(actions: Sequence[str], resource: str) -> Policy:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}
