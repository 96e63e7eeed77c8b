"""Lanes: which runs of a CI job follow each other, and so use mostly the same store paths.

A lane is a job of a workflow with its matrix and its system; its scope is the branch. Both are hashes, since whoever
reads a public cache shall not learn the names of private repositories and branches.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from dataclasses import dataclass

_SCOPE = 16  # hexadecimal digits
_LANE = 8


@dataclass(frozen=True)
class Lane:
    """`scope` has 16 hexadecimal digits, `lane` 8."""

    scope: str
    lane: str

    @property
    def index(self) -> str:
        """The name of its run index in a cache; a job overwrites it at its end."""
        return f"autocache/index/{self.scope}/{self.lane}"

    @classmethod
    def of(cls, repository: str, ref: str, *job: str) -> Lane:
        """`repository` is `host/owner/name`, `ref` that of Git, as `refs/heads/main`; `job` is what names the job."""
        names = json.dumps([*job, f"{platform.machine()}-{sys.platform}"])
        return cls(_hash(f"{repository}/{ref}")[:_SCOPE], _hash(names)[:_LANE])


@dataclass(frozen=True)
class Lanes:
    """This job's lane, and the same job's on the default branch; they are equal there. None where it is not known."""

    own: Lane
    default: Lane | None

    @classmethod
    def of(cls, repository: str, ref: str, default_branch: str, *job: str) -> Lanes:
        """As `Lane.of`; `default_branch` is a branch's name, empty where it is not known."""
        default = Lane.of(repository, f"refs/heads/{default_branch}", *job) if default_branch else None
        return cls(Lane.of(repository, ref, *job), default)

    @property
    def all(self) -> tuple[Lane, ...]:
        """Without repetition, this job's first."""
        return (self.own,) if self.default in {None, self.own} else (self.own, *filter(None, [self.default]))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
