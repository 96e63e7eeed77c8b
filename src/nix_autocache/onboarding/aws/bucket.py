"""The bucket of a cache, in AWS or at another server that speaks S3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...system.dataclass import dataclass
from ..steps import Found, Now
from .service import UNSUPPORTED, Service
from .tags import TAG, owner_of, tags

OF_ANOTHER = "init made the bucket for another repository, which needs it"
_ABSENT = frozenset({"404", "NoSuchBucket"})


@dataclass(frozen=True)
class Bucket:
    """A bucket by its name; `owner` is the repository that it is for. Raises Error as `Service.ask`."""

    s3: Service
    name: str
    owner: str

    def ask(self, operation: str, *, missing: frozenset[str] = frozenset(), **parameters: Any) -> Any:
        """As `Service.ask`; None also if there is no such bucket."""
        return self.s3.ask(operation, missing=missing | _ABSENT, Bucket=self.name, **parameters)

    def exists(self) -> bool:
        """Asked by a listing: the answer to HEAD has no reason for a refusal."""
        return self.ask("list_objects_v2", MaxKeys=1) is not None

    def region(self) -> str:
        """Where it is; empty if it does not exist, or if the server does not say so."""
        return str((self.ask("head_bucket") or {}).get("BucketRegion") or "")

    def is_ours(self) -> bool:
        """True if `init` made it for this repository."""
        return self._owner() == self.owner

    def is_anothers(self) -> bool:
        """True if `init` made it for another repository, which needs its settings."""
        return self._owner() not in {"", self.owner}

    def _owner(self) -> str:
        answer = self.ask("get_bucket_tagging", missing=UNSUPPORTED | {"NoSuchTagSet"})
        return owner_of(answer.get("TagSet", [])) if answer else ""

    def holds_something(self) -> bool:
        answer = self.ask("list_objects_v2", MaxKeys=1)
        return bool(answer and answer.get("KeyCount", len(answer.get("Contents", []))))


@dataclass(frozen=True)
class BucketStep:
    """Makes it. A bucket that is there stays as it is."""

    bucket: Bucket
    region: str
    details: Sequence[str] = ()

    @property
    def thing(self) -> str:
        s3 = self.bucket.s3
        return f"bucket {self.bucket.name} {f'in {self.region}' if s3.is_aws else f'at {s3.server}'}"

    def look(self) -> Found:
        return Found(Now.RIGHT if self.bucket.exists() else Now.ABSENT)

    def apply(self) -> str:
        made = tags(self.bucket.owner)
        if self.bucket.s3.is_aws:
            # With the tag in the same request, so that no kill leaves a bucket which `--undo` does not know.
            where = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
            self.bucket.s3.ask(
                "create_bucket", Bucket=self.bucket.name, CreateBucketConfiguration={**where, "Tags": made}
            )
            return ""
        self.bucket.s3.ask("create_bucket", Bucket=self.bucket.name)
        tagged = self.bucket.ask("put_bucket_tagging", missing=UNSUPPORTED, Tagging={"TagSet": made})
        return "" if tagged else f"{self.bucket.s3.server} has no tags for buckets, so --undo will leave it"

    def remove(self) -> str:
        if not self.bucket.exists():
            return ""
        if not self.bucket.is_ours():
            return f"it does not have the tag {TAG} of {self.bucket.owner}"
        if self.bucket.holds_something():
            return "it holds something; delete that first if nobody needs it"
        gone = self.bucket.ask("delete_bucket", missing=frozenset({"BucketNotEmpty"}))
        return "" if gone or not self.bucket.exists() else "it holds older versions of objects; delete those first"
