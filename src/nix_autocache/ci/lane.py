"""Lanes: which runs of a CI job follow each other, and so use mostly the same store paths.

A lane is a job of a workflow with its matrix and its system; its scope is the branch. Both are hashes, since whoever
reads a public cache shall not learn the names of private repositories and branches.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys

from ..system.dataclass import dataclass

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
    def of_machine(cls) -> Lane:
        """The lane of all jobs of this machine, and of what is pushed by hand."""
        return cls.of(socket.gethostname(), "")

    @classmethod
    def of(cls, repository: str, ref: str, *job: str) -> Lane:
        """`repository` is `host/owner/name`, `ref` that of Git, as `refs/heads/main`; `job` is what names the job."""
        names = json.dumps([*job, f"{os.uname().machine}-{sys.platform}"])
        return cls(scope_of(f"{repository}/{ref}"), _hash(names)[:_LANE])


@dataclass(frozen=True)
class Lanes:
    """This job's lane, the same job's on the branch that a pull request is for, and on the default branch.

    They may be equal. None where there is no such branch, or it is not known.
    """

    own: Lane
    base: Lane | None
    default: Lane | None

    @classmethod
    def of(cls, repository: str, ref: str, base: str, default: str, *job: str) -> Lanes:
        """As `Lane.of`; `base` and `default` are names of branches, empty where there is none."""
        others = (Lane.of(repository, f"refs/heads/{branch}", *job) if branch else None for branch in (base, default))
        return cls(Lane.of(repository, ref, *job), *others)

    @property
    def all(self) -> tuple[Lane, ...]:
        """Without repetition, this job's first."""
        return tuple(dict.fromkeys(filter(None, (self.own, self.base, self.default))))

    @property
    def is_default(self) -> bool:
        """True if this job runs on the default branch."""
        return self.own == self.default


def scope_of(name: str) -> str:
    """The scope of a branch, as of `github.com/acme/project/refs/heads/main`."""
    return _hash(name)[:_SCOPE]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
