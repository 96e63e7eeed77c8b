"""The branch and the pull request that `init` makes on GitHub.

All files are in one commit, so that the branch appears with all of them or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import Error
from ..lead import STAYS, Lead, message
from ..repository import BRANCH, Proposal
from .account import CONTENTS, PULLS, WORKFLOWS, Account

if TYPE_CHECKING:
    from github.GitRef import GitRef
    from github.PullRequest import PullRequest
    from github.Repository import Repository as Api


class PullBranch:
    """BRANCH of a repository, with its pull request."""

    def __init__(self, account: Account, api: Api) -> None:
        self._account = account
        self._api = api

    def address(self) -> str:
        """Of the open pull request; empty if there is none."""
        pull = self._open_pull()
        return pull.html_url if pull else ""

    def propose(self, proposal: Proposal) -> str:
        """Bring the files onto the branch, and open or update the pull request. Returns its address. Raises Error.

        An open pull request gets a commit more; without one the branch is made from the default branch.
        """
        pull, ref = self._open_pull(), self._ref(BRANCH)
        said = self._comparison() if ref else None
        if said and (refusal := _lead(said, pull).refusal(self._account.name)):
            raise Error(refusal)
        is_fresh = said is not None and (pull is not None or said["behind_by"] == 0)
        if not (is_fresh and all(self._has(path, text) for path, text in proposal.files.items())):
            self._commit(proposal, ref, on_top=pull is not None)
        return self._show(pull, proposal)

    def withdraw(self) -> str:
        """Close the pull request and remove the branch. Returns why they stay."""
        pull, ref = self._open_pull(), self._ref(BRANCH)
        if ref is None:
            return ""
        if not _lead(self._comparison(), pull).is_ours:
            return STAYS
        if pull:
            with self._account.asking("close the pull request", PULLS):
                pull.edit(state="closed")
        with self._account.asking(f"remove the branch {BRANCH}", CONTENTS):
            ref.delete()
        return ""

    def _show(self, pull: PullRequest | None, proposal: Proposal) -> str:
        with self._account.asking("open the pull request", PULLS):
            if pull is None:
                base = self._api.default_branch
                pull = self._api.create_pull(base, BRANCH, title=proposal.title, body=proposal.body)
            elif (pull.title, pull.body) != (proposal.title, proposal.body):
                pull.edit(title=proposal.title, body=proposal.body)
        return pull.html_url

    def _open_pull(self) -> PullRequest | None:
        with self._account.asking("list its pull requests", PULLS):
            head = f"{self._api.owner.login}:{BRANCH}"
            found = self._api.get_pulls(state="open", head=head, base=self._api.default_branch)
            return next(iter(found), None)

    def _ref(self, branch: str) -> GitRef | None:
        reading = f"read the branch {branch}"
        return self._account.if_there(reading, CONTENTS, lambda: self._api.get_git_ref(f"heads/{branch}"))

    def _comparison(self) -> dict[str, Any]:
        """Its `commits` are those that the default branch has not; it is `behind_by` so many that only that has."""
        with self._account.asking(f"compare the branch {BRANCH}", CONTENTS):
            return dict(self._api.compare(self._api.default_branch, BRANCH).raw_data)

    def _has(self, path: str, text: str) -> bool:
        """True if the branch has this file."""
        found = self._account.if_there(f"read {path}", CONTENTS, lambda: self._api.get_contents(path, BRANCH))
        return found is not None and not isinstance(found, list) and found.decoded_content == text.encode()

    def _commit(self, proposal: Proposal, ref: GitRef | None, *, on_top: bool) -> None:
        """Put one commit on the branch, `on_top` of what it has, or else of the default branch."""
        from github import InputGitTreeElement

        base = ref if on_top else self._ref(self._api.default_branch)
        if base is None:
            raise Error(f"{self._account.name} has no commit on {self._api.default_branch} yet; push one first")
        entries = [InputGitTreeElement(path, "100644", "blob", text) for path, text in proposal.files.items()]
        with self._account.asking(f"write {', '.join(proposal.files)}", CONTENTS, WORKFLOWS):
            parent = self._api.get_git_commit(base.object.sha)
            tree = self._api.create_git_tree(entries, parent.tree)
            made = self._api.create_git_commit(message(proposal.title), tree, [parent])
            if ref is None:
                self._api.create_git_ref(f"refs/heads/{BRANCH}", made.sha)
            else:
                ref.edit(made.sha, force=not on_top)


def _lead(comparison: dict[str, Any], pull: PullRequest | None) -> Lead:
    return Lead(tuple(each["commit"]["message"] for each in comparison["commits"]), pull is not None)
