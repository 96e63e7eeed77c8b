"""Unfinished uploads to the bucket end after a day: their parts cost money, and nobody sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..steps import Found, Now
from .bucket import OF_ANOTHER, Bucket
from .service import UNSUPPORTED

_ID: Final = "nix-autocache-unfinished-uploads"
_RULE: Final[Mapping[str, Any]] = {
    "ID": _ID,
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
}
_SIZE: Final = "TransitionDefaultMinimumObjectSize"
_NONE: Final = frozenset({"NoSuchLifecycleConfiguration"})


@dataclass(frozen=True)
class UnfinishedUploadsStep:
    """A lifecycle rule beside those that the bucket has."""

    bucket: Bucket
    details: Sequence[str] = ()

    @property
    def thing(self) -> str:
        return f"rule of bucket {self.bucket.name}: unfinished uploads end after a day"

    def look(self) -> Found:
        answer = self.bucket.ask("get_bucket_lifecycle_configuration", missing=_NONE | self._unsupported)
        ours = [rule for rule in answer.get("Rules", []) if rule.get("ID") == _ID] if answer else []
        if not ours:
            return Found(Now.ABSENT)
        return Found(Now.RIGHT) if _does_it(ours[0]) else Found(Now.DIFFERENT, "it does something else")

    def apply(self) -> str:
        others, more = self._others()
        done = self.bucket.ask(
            "put_bucket_lifecycle_configuration",
            missing=self._unsupported,
            LifecycleConfiguration={"Rules": [*others, _RULE]},
            **more,
        )
        return "" if done else f"{self.bucket.s3.server} has no such rule; remove unfinished uploads there now and then"

    def remove(self) -> str:
        if self.look().now is Now.ABSENT:
            return ""
        if self.bucket.is_anothers():
            return OF_ANOTHER
        others, more = self._others()
        if others:
            self.bucket.ask("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": others}, **more)
        else:
            self.bucket.ask("delete_bucket_lifecycle")
        return ""

    @property
    def _unsupported(self) -> frozenset[str]:
        return frozenset() if self.bucket.s3.is_aws else UNSUPPORTED

    def _others(self) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
        """The rules of others, and the setting that a request without it would put back to its default."""
        answer = self.bucket.ask("get_bucket_lifecycle_configuration", missing=_NONE | self._unsupported) or {}
        rules = [rule for rule in answer.get("Rules", []) if rule.get("ID") != _ID]
        return rules, {_SIZE: answer[_SIZE]} if answer.get(_SIZE) else {}


def _does_it(rule: Mapping[str, Any]) -> bool:
    """AWS returns a rule in other words than it was given."""
    days = rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
    return bool(rule.get("Status") == "Enabled" and days == 1 and not rule.get("Filter", {}).get("Prefix"))
