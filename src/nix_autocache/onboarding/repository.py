"""A repository on a CI host, as `init` needs it: variables, secrets, files, and a pull request.

The folders `github` and `gitlab` are the hosts; each has a row in `hosts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..system.dataclass import dataclass

BRANCH = "nix-autocache"  # of the pull request


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A pull or merge request: new contents of files, by their paths in the repository; `notes` are said with the
    plan."""

    title: str
    body: str  # Markdown
    files: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What AWS learns of a job of this repository: the id token's issuer and claims.

    `subjects` are the values of `sub` for the branches that may push; `repository_id` is the host's number of the
    repository, if the tokens carry it. `warning` says what would break the policy later. `session` is how long the
    credentials of a job should last, in seconds: a host whose tokens cannot be had again needs a long one.
    """

    issuer: str  # host and path, as in token.actions.githubusercontent.com
    audience: str
    subjects: tuple[str, ...]
    repository_id: str = ""
    warning: str = ""
    session: int = 3600


class Files(Protocol):
    """The files of a repository, as they are on a branch. Every method may raise Error."""

    @property
    def default_branch(self) -> str: ...

    def names(self) -> frozenset[str]:
        """Paths of the files at the top of the default branch, and of those that define CI jobs."""

    def read(self, path: str, branch: str = "") -> str | None:
        """A file on a branch, by default the default branch; None if it is not there."""


class Repository(Files, Protocol):
    """One repository. Every method may raise Error: one line, which names the permission that is missing."""

    @property
    def name(self) -> str:
        """As in `acme/project`."""

    @property
    def is_public(self) -> bool: ...

    def variable(self, name: str) -> str | None:
        """A variable's value; None if there is none, or if it cannot be shown."""

    def set_variable(self, name: str, value: str) -> None:
        """Make it, or replace its value. All jobs see it, those of forks as well."""

    def remove_variable(self, name: str) -> None:
        """Remove it, if it is there."""

    def has_secret(self, name: str) -> bool: ...

    def set_secret(self, name: str, value: str) -> None:
        """Make it, or replace its value. It is sealed, or sent over TLS, and never in an argument or a log."""

    def remove_secret(self, name: str) -> None:
        """Remove it, if it is there."""

    def lacks(self) -> str:
        """What the token lacks to propose, and what to do, as far as the host says it before it refuses; else empty."""

    def proposal(self) -> str:
        """The address of the open pull request from BRANCH; empty if there is none."""

    def propose(self, proposal: Proposal) -> str:
        """Put the files on BRANCH, from the default branch, and open a pull request, or update the one that is open.
        Returns its address."""

    def withdraw(self) -> str:
        """Close the open pull request and remove BRANCH, if init made it. Returns why it stays, or nothing."""

    def subject(self, branches: tuple[str, ...]) -> Subject:
        """The claims of jobs on these branches. Raises Error where they are not known, as with a template of the
        organisation's own."""
