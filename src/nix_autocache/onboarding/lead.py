"""What BRANCH has and the default branch has not: whose commits these are.

A branch of this name may be somebody else's. The message of each commit of `init` has a mark, so that only what it made
is overwritten or removed.
"""

from __future__ import annotations

from typing import Final

from ..system.dataclass import dataclass
from .repository import BRANCH

MARK: Final = "Made-by: nix-autocache init"
STAYS: Final = f"the branch {BRANCH} has commits that init did not make; remove it yourself if nobody needs it"


@dataclass(frozen=True)
class Lead:
    """Messages of the commits, and whether a request to merge them is open."""

    messages: tuple[str, ...]
    is_proposed: bool

    @property
    def is_ours(self) -> bool:
        """True if nobody else's commit is among them, or if others have added theirs to our request."""
        marked = [MARK in message for message in self.messages]
        return any(marked) if self.is_proposed else all(marked)

    def refusal(self, name: str) -> str:
        """Why nothing may be written to the branch of the repository of this name; empty if it may."""
        if self.is_ours:
            return ""
        return (
            f"{name}: its branch {BRANCH} has commits that init did not make; rename that branch, and run the same "
            "again"
        )


def message(title: str) -> str:
    """The message of a commit."""
    return f"{title}\n\n{MARK}\n"
