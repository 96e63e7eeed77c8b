"""A project on GitLab, by python-gitlab: its variables, files and merge request, and the subject of its id tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ...errors import Error, InputError
from ..repository import Proposal, Subject
from .access import Access, find_token, if_there
from .merge_request import MergeRequest
from .variables import Variables

if TYPE_CHECKING:
    from gitlab.v4.objects import Project

PIPELINE: Final = ".gitlab-ci.yml"
_TIMEOUT: Final = 60.0  # seconds of one request
_SUBJECT: Final = ["project_path", "ref_type", "ref"]  # GitLab's own composition of `sub`


def connect(server: str, name: str, environ: Mapping[str, str]) -> GitLabRepository:
    """The project. Raises InputError without a token, a project or a commit, and Error if GitLab refuses."""
    from gitlab import Gitlab

    token = find_token(server, environ)
    access = Access(server, name, token.origin)
    client = Gitlab(server, oauth_token=token.text, timeout=_TIMEOUT, keep_base_url=True)
    project = None
    with access.needs("Reporter", "look at the settings"), if_there():
        project = client.projects.get(name)
    if project is None:
        raise InputError(
            f"{name} is not on {server}, or the token of {token.origin} may not see it: it needs the scope api, and "
            "its user a role in the project"
        )
    if not project.attributes.get("default_branch") or project.attributes.get("empty_repo"):
        raise InputError(f"{name} has no commit yet: push one, then run init again")
    found = GitLabRepository(access, project)
    if "@" in found.pipeline or "://" in found.pipeline:
        raise InputError(
            f"the pipeline of {name} is not in the project but at {found.pipeline}: put the component into it by hand, "
            "see docs/gitlab.md"
        )
    return found


class GitLabRepository:
    """A `repository.Repository`, and what the pipeline's files depend on: the server, and where its pipeline is."""

    def __init__(self, access: Access, project: Project) -> None:
        self._project = project
        self._access = access
        self._variables = Variables(access, project)
        self._request = MergeRequest(access, project)
        self.server = access.server
        self.pipeline: str = project.attributes.get("ci_config_path") or PIPELINE

    @property
    def name(self) -> str:
        return str(self._project.path_with_namespace)

    @property
    def default_branch(self) -> str:
        return str(self._project.default_branch)

    @property
    def is_public(self) -> bool:
        return bool(self._project.visibility == "public")

    def variable(self, name: str) -> str | None:
        value = self._variables.find(name).get("value")
        return None if value is None else str(value)

    def set_variable(self, name: str, value: str) -> None:
        self._variables.set_plain(name, value)

    def remove_variable(self, name: str) -> None:
        self._variables.remove(name)

    def has_secret(self, name: str) -> bool:
        return bool(self._variables.find(name))

    def set_secret(self, name: str, value: str) -> None:
        self._variables.set_secret(name, value)

    def remove_secret(self, name: str) -> None:
        self._variables.remove(name)

    def names(self) -> frozenset[str]:
        with self._access.needs("Reporter", "list the files"):
            rows = self._project.repository_tree(ref=self.default_branch, get_all=True)
        found = {str(row["path"]) for row in rows}
        return frozenset(found | ({self.pipeline} if self.read(self.pipeline) is not None else set()))

    def read(self, path: str, branch: str = "") -> str | None:
        return self._request.read(path, branch)

    def lacks(self) -> str:
        """Empty: a merge request needs no other scope than what comes before it."""
        return ""

    def proposal(self) -> str:
        request = self._request.open()
        return str(request.web_url) if request else ""

    def propose(self, proposal: Proposal) -> str:
        return self._request.propose(proposal)

    def withdraw(self) -> str:
        return self._request.withdraw()

    def subject(self, branches: tuple[str, ...]) -> Subject:
        composed = self._project.attributes.get("ci_id_token_sub_claim_components") or _SUBJECT
        if composed != _SUBJECT:
            raise Error(
                f"the id tokens of {self.name} have a subject of {', '.join(composed)}, where init knows only "
                f"{', '.join(_SUBJECT)}: give --credentials keys, or set ci_id_token_sub_claim_components back"
            )
        return Subject(
            issuer=urlsplit(self.server).netloc,
            audience="sts.amazonaws.com",
            subjects=tuple(f"project_path:{self.name}:ref_type:branch:ref:{branch}" for branch in branches),
            session=43200,  # a job gets one token, at its start
            warning=f"the role trusts the path {self.name}: if the project is renamed or moved, run init again",
        )
