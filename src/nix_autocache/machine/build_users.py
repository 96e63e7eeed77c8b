"""The users that Nix builds as, where Nix was left without them."""

from __future__ import annotations

from typing import ClassVar

from ..system import users
from ..system.dataclass import dataclass
from . import journal
from .paths import Paths


@dataclass(frozen=True)
class MadeBuildUsers(journal.Change):
    """The users that were missing, and whether their group was."""

    kind: ClassVar[str] = "build-users"
    users: tuple[str, ...] = ()
    group: bool = False

    def undo(self, paths: Paths) -> None:
        users.remove(self.users, group=users.GROUP if self.group else "")


def record_missing(paths: Paths) -> None:
    """Record the users that are about to be made. The caller holds the lock of `paths`."""
    change = MadeBuildUsers(users.missing(users.wanted()), not users.group_exists())
    if change.users or change.group:
        journal.record(paths, change)


def make(paths: Paths) -> None:
    """Make those that are missing. The caller holds the lock of `paths`. Raises RunnerError if that fails."""
    record_missing(paths)
    users.make(users.wanted())
