"""Who may read the bucket without credentials: nobody, or with `--public` everybody.

A bucket that `init` did not make keeps its settings unless `--public` is given: others may rely on them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from ...system.dataclass import dataclass
from ..steps import Found, Now
from . import policies
from .bucket import OF_ANOTHER, Bucket
from .policies import Policy
from .service import UNSUPPORTED

_ACLS: Final = {"BlockPublicAcls": True, "IgnorePublicAcls": True}
_PRIVATE: Final = {**_ACLS, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
_PUBLIC: Final = {**_ACLS, "BlockPublicPolicy": False, "RestrictPublicBuckets": False}
_NO_BLOCK: Final = frozenset({"NoSuchPublicAccessBlockConfiguration"})
_NO_POLICY: Final = frozenset({"NoSuchBucketPolicy"})


@dataclass(frozen=True)
class PrivateStep:
    """Public access is blocked."""

    bucket: Bucket
    details: Sequence[str] = ()

    @property
    def thing(self) -> str:
        return f"public access to bucket {self.bucket.name} is blocked"

    def look(self) -> Found:
        if not self.bucket.exists():
            return Found(Now.ABSENT)
        if not self.bucket.is_ours():
            return Found(Now.RIGHT, "init did not make the bucket, so its settings stay")
        if (found := _block(self.bucket)) == _PRIVATE and not _has_statement(_policy(self.bucket)):
            return Found(Now.RIGHT)
        return Found(Now.DIFFERENT, "it is readable by everybody") if found else Found(Now.ABSENT)

    def apply(self) -> str:
        _drop_statement(self.bucket)
        self.bucket.s3.ask("put_public_access_block", Bucket=self.bucket.name, PublicAccessBlockConfiguration=_PRIVATE)
        return ""

    def remove(self) -> str:
        if not self.bucket.exists():
            return ""
        if self.bucket.is_anothers():
            return OF_ANOTHER
        _drop_statement(self.bucket)
        return "as long as the bucket is there"


@dataclass(frozen=True)
class PublicStep:
    """Everybody may read objects."""

    bucket: Bucket
    statement: Policy
    details: Sequence[str] = ()

    @property
    def thing(self) -> str:
        return f"everybody may read bucket {self.bucket.name}"

    def look(self) -> Found:
        policy = _policy(self.bucket)
        ours = any(policies.same(self.statement, each) for each in policies.statements(policy))
        blocked = self.bucket.s3.is_aws and _block(self.bucket) not in ({}, _PUBLIC)
        if ours and not blocked:
            return Found(Now.RIGHT)
        why = "the bucket's public access block forbids it" if ours else ""
        return Found(Now.DIFFERENT if _has_statement(policy) else Now.ABSENT, why)

    def apply(self) -> str:
        if self.bucket.s3.is_aws:
            self.bucket.s3.ask(
                "put_public_access_block", Bucket=self.bucket.name, PublicAccessBlockConfiguration=_PUBLIC
            )
        wanted = policies.with_public_read(_policy(self.bucket), self.statement)
        unsupported = frozenset() if self.bucket.s3.is_aws else UNSUPPORTED
        done = self.bucket.ask("put_bucket_policy", missing=unsupported, Policy=json.dumps(wanted))
        return "" if done else f"{self.bucket.s3.server} has no policies of buckets; make it public in its own settings"

    def remove(self) -> str:
        if self.bucket.is_anothers():
            return OF_ANOTHER
        _drop_statement(self.bucket)
        return ""


def _block(bucket: Bucket) -> dict[str, bool]:
    answer = bucket.ask("get_public_access_block", missing=_NO_BLOCK)
    return dict(answer["PublicAccessBlockConfiguration"]) if answer else {}


def _policy(bucket: Bucket) -> Policy:
    unsupported = frozenset() if bucket.s3.is_aws else UNSUPPORTED
    answer = bucket.ask("get_bucket_policy", missing=_NO_POLICY | unsupported)
    text = answer["Policy"] if answer else ""
    return json.loads(text) if text.startswith("{") else {}  # rclone answers with a listing


def _has_statement(policy: Policy) -> bool:
    return any(each.get("Sid") == policies.PUBLIC_SID for each in policies.statements(policy))


def _drop_statement(bucket: Bucket) -> None:
    policy = _policy(bucket)
    if not _has_statement(policy):
        return
    left = policies.without_public_read(policy)
    if left["Statement"]:
        bucket.ask("put_bucket_policy", Policy=json.dumps(left))
    else:
        bucket.ask("delete_bucket_policy")
