"""Lifecycle rules of the bucket: unfinished uploads end after a day, and what a throwaway cache has left goes.

Parts of unfinished uploads cost money, and nobody sees them. The objects of a past period go as a whole: nothing reads
them any more, see docs/caches.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...nix import period
from ...system.dataclass import dataclass
from ..steps import Found, Now
from .bucket import OF_ANOTHER, Bucket
from .service import UNSUPPORTED

_SIZE: Final = "TransitionDefaultMinimumObjectSize"
_NONE: Final = frozenset({"NoSuchLifecycleConfiguration"})


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`action` is what the rule does to objects whose names begin with `prefix`, in AWS's words.

    `what` says so to people, and `instead` what they do where the server has no such rule.
    """

    name: str
    prefix: str
    action: Mapping[str, Any]
    what: str
    instead: str

    @property
    def body(self) -> Mapping[str, Any]:
        return {"ID": self.name, "Status": "Enabled", "Filter": {"Prefix": self.prefix}, **self.action}

    def is_done_by(self, rule: Mapping[str, Any]) -> bool:
        """AWS returns a rule in other words than it was given."""
        there = {name: dict(rule.get(name, {})) for name in self.action}
        same = all(there[name].items() >= wanted.items() for name, wanted in self.action.items())
        return same and rule.get("Status") == "Enabled" and rule.get("Filter", {}).get("Prefix", "") == self.prefix


UNFINISHED: Final = Rule(
    name="nix-autocache-unfinished-uploads",
    prefix="",
    action={"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
    what="unfinished uploads end after a day",
    instead="remove unfinished uploads there now and then",
)


def of_periods(path: str) -> Rule:
    """The rule by which the past periods of a throwaway cache go; `path` is that of its URL, with the placeholder."""
    days, prefix = period.days_kept(path), period.common_prefix(path).lstrip("/")
    return Rule(
        name="nix-autocache-past-periods",
        prefix=prefix,
        action={"Expiration": {"Days": days}},
        what=f"objects below {prefix} go after {days} days",
        instead=f"remove what is older than {days} days below {prefix} there now and then",
    )


@dataclass(frozen=True)
class RuleStep:
    """A lifecycle rule beside those that the bucket has."""

    bucket: Bucket
    rule: Rule
    details: Sequence[str] = ()

    @property
    def thing(self) -> str:
        return f"rule of bucket {self.bucket.name}: {self.rule.what}"

    def look(self) -> Found:
        answer = self.bucket.ask("get_bucket_lifecycle_configuration", missing=_NONE | self._unsupported)
        ours = [rule for rule in answer.get("Rules", []) if rule.get("ID") == self.rule.name] if answer else []
        if not ours:
            return Found(Now.ABSENT)
        return Found(Now.RIGHT) if self.rule.is_done_by(ours[0]) else Found(Now.DIFFERENT, "it does something else")

    def apply(self) -> str:
        others, more = self._others()
        done = self.bucket.ask(
            "put_bucket_lifecycle_configuration",
            missing=self._unsupported,
            LifecycleConfiguration={"Rules": [*others, self.rule.body]},
            **more,
        )
        return "" if done else f"{self.bucket.s3.server} has no such rule; {self.rule.instead}"

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
        rules = [rule for rule in answer.get("Rules", []) if rule.get("ID") != self.rule.name]
        return rules, {_SIZE: answer[_SIZE]} if answer.get(_SIZE) else {}
