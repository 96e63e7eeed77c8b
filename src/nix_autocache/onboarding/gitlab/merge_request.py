"""The files of a project on GitLab, and the merge request that changes them.

Commits that somebody made on the branch stay while its merge request is open. Without an open one, what `init` left on
the branch gives way to the default branch and our files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...errors import Error
from ..lead import STAYS, Lead, message
from ..repository import BRANCH, Proposal
from .access import Access, if_there

if TYPE_CHECKING:
    from gitlab.v4.objects import Project, ProjectMergeRequest

_TEXTS: Final = ("title", "description")


class MergeRequest:
    """The merge request from BRANCH. Methods raise Error as those of `repository.Repository`."""

    def __init__(self, access: Access, project: Project) -> None:
        self._access = access
        self._project = project

    def read(self, path: str, branch: str = "") -> str | None:
        """A file on a branch, by default the default branch; None if it is not there."""
        with self._access.needs("Reporter", f"read the file {path}"), if_there():
            content = self._project.files.get(path, ref=branch or str(self._project.default_branch)).decode()
            return content.decode("utf-8", "surrogateescape")
        return None

    def open(self) -> ProjectMergeRequest | None:
        """The open one, if there is any; a fork may have a branch of that name as well."""
        with self._access.needs("Reporter", "look for the merge request"):
            found = self._project.mergerequests.list(state="opened", source_branch=BRANCH, get_all=True)
        return next((each for each in found if each.source_project_id == self._project.id), None)

    def propose(self, proposal: Proposal) -> str:
        """Commit the files in one request, and open the merge request or bring its text up to date: its address."""
        request = self.open()
        lead = self._lead(request)
        if lead and (refusal := lead.refusal(self._access.project)):
            raise Error(refusal)
        if any(self.read(path, BRANCH) != text for path, text in proposal.files.items()):
            self._commit(proposal, "" if request else str(self._project.default_branch))
        self._check_pipeline()
        texts = dict(zip(_TEXTS, (proposal.title, proposal.body), strict=True))
        with self._access.needs("Developer", "open the merge request"):
            if request is None:
                ends = {"source_branch": BRANCH, "target_branch": self._project.default_branch}
                request = self._project.mergerequests.create({**ends, **texts, "remove_source_branch": True})
            elif any(getattr(request, name) != text for name, text in texts.items()):
                self._project.mergerequests.update(request.iid, texts)
        return str(request.web_url)

    def withdraw(self) -> str:
        """Close it and remove its branch. Returns why they stay."""
        request = self.open()
        lead = self._lead(request)
        if lead and not lead.is_ours:
            return STAYS
        if request:
            with self._access.needs("Developer", "close the merge request"):
                self._project.mergerequests.update(request.iid, {"state_event": "close"})
        if lead:
            with self._access.needs("Developer", f"remove the branch {BRANCH}"), if_there():
                self._project.branches.delete(BRANCH)
        return ""

    def _lead(self, request: ProjectMergeRequest | None) -> Lead | None:
        """None if there is no branch."""
        with self._access.needs("Reporter", f"compare the branch {BRANCH}"), if_there():
            found: Any = self._project.repository_compare(str(self._project.default_branch), BRANCH)
            return Lead(tuple(str(each["message"]) for each in found["commits"]), request is not None)
        return None

    def _commit(self, proposal: Proposal, start: str) -> None:
        """Onto the branch, or with a `start` onto a new branch from there, in place of one that is left over."""
        before = {path: self.read(path, start or BRANCH) for path in proposal.files}
        actions = [
            {"action": "create" if before[path] is None else "update", "file_path": path, "content": text}
            for path, text in proposal.files.items()
            if before[path] != text
        ]
        fresh = {"start_branch": start, "force": True} if start else {}
        with self._access.needs("Developer", f"push the branch {BRANCH}"):
            self._project.commits.create(
                {"branch": BRANCH, "commit_message": message(proposal.title), "actions": actions, **fresh}
            )

    def _check_pipeline(self) -> None:
        """Have GitLab check the pipeline of the branch, with all that it includes. Raises Error if it is refused."""
        with self._access.needs("Reporter", "check the pipeline"):
            checked = self._project.ci_lint.get(content_ref=BRANCH)
        if not checked.valid:
            first = " ".join(str((checked.errors or ["no reason given"])[0]).split())
            raise Error(
                f"{self._access.server} does not accept the pipeline on the branch {BRANCH} of {self._access.project}: "
                f"{first}; mend it there and open the merge request yourself, or see docs/gitlab.md"
            )
