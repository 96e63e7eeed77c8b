"""The step that proposes the workflow: a pull or merge request, or nothing where its files are there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..system.dataclass import dataclass
from .repository import BRANCH, Proposal, Repository
from .steps import Found, Now

_NAME: Final = "nix-autocache"


@dataclass(frozen=True)
class ProposalStep:
    """The files on the default branch, or on their way there."""

    repository: Repository
    proposal: Proposal

    @property
    def thing(self) -> str:
        return f"branch {BRANCH}, with a request to merge it"

    @property
    def details(self) -> Sequence[str]:
        return tuple(self.proposal.files)

    def look(self) -> Found:
        """Whether the default branch has the files, or else the request that is open."""
        branch = self.repository.default_branch
        if not (missing := self._differing()):
            return Found(Now.RIGHT, f"{branch} has the files already")
        if not (address := self.repository.proposal()):
            changed = [path for path in missing if self.repository.read(path) is not None]
            return self._found(Now.ABSENT, f"it changes {', '.join(changed)}" if changed else "")
        if different := self._differing(BRANCH):
            return self._found(Now.DIFFERENT, f"{address} has other contents of {', '.join(different)}")
        return Found(Now.RIGHT, f"{address} is open")

    def apply(self) -> str:
        """Open it, or update the one that is open. Returns its address."""
        return self.repository.propose(self.proposal)

    def remove(self) -> str:
        """Close it and remove its branch. What was merged stays: only a commit can remove it."""
        stays, branch, merged = self.repository.withdraw(), self.repository.default_branch, self._merged()
        commit = f"{branch} has {', '.join(merged)}; remove it there with a commit of your own" if merged else ""
        return "; ".join(filter(None, (stays, commit)))

    def _merged(self) -> list[str]:
        """Files of the default branch that use nix-autocache, also those that another version has written."""
        jobs = {name for name in self.repository.names() if name.endswith((".yml", ".yaml"))}
        found = {path: self.repository.read(path) or "" for path in sorted({*self.proposal.files, *jobs})}
        return [path for path, text in found.items() if _NAME in text or text == self.proposal.files.get(path)]

    def _found(self, now: Now, why: str) -> Found:
        """The plan says what this step will be refused, before the others have made anything."""
        return Found(now, "; ".join(filter(None, (why, self.repository.lacks()))))

    def _differing(self, branch: str = "") -> list[str]:
        return [path for path, text in self.proposal.files.items() if self.repository.read(path, branch) != text]
