"""A repository on GitHub, or on a GitHub Enterprise server, by PyGithub.

PyGithub's `edit` and `delete` of variables and secrets return False where they were refused; those requests are made
by its requester, which raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ...errors import Error
from ..repository import Proposal, Subject
from .account import ACTIONS, CONTENTS, METADATA, SECRETS, VARIABLES, WORKFLOWS, Account, sign_in
from .pull import PullBranch
from .server import PUBLIC, api_url, issuer

if TYPE_CHECKING:
    from github.Repository import Repository as Api

AUDIENCE: Final = "sts.amazonaws.com"
_WORKFLOWS: Final = ".github/workflows"


class GitHubRepository:
    """One that the account sees."""

    def __init__(self, account: Account, api: Api) -> None:
        self._account = account
        self._api = api
        self._pull = PullBranch(account, api)

    @property
    def name(self) -> str:
        return self._api.full_name

    @property
    def default_branch(self) -> str:
        return self._api.default_branch

    @property
    def is_public(self) -> bool:
        return not self._api.private

    def variable(self, name: str) -> str | None:
        """Its value; None if there is none."""
        found = self._account.if_there(f"read the variable {name}", VARIABLES, lambda: self._api.get_variable(name))
        return found.value if found else None

    def set_variable(self, name: str, value: str) -> None:
        """Make it, or replace its value."""
        there = self.variable(name) is not None
        with self._account.asking(f"write the variable {name}", VARIABLES):
            if there:
                self._request("PATCH", f"variables/{quote(name)}", {"name": name, "value": value})
            else:
                self._api.create_variable(name, value)

    def remove_variable(self, name: str) -> None:
        """Remove it, if it is there."""
        if self.variable(name) is not None:
            with self._account.asking(f"remove the variable {name}", VARIABLES):
                self._request("DELETE", f"variables/{quote(name)}")

    def has_secret(self, name: str) -> bool:
        """True if it is there; its value cannot be read."""
        return (
            self._account.if_there(f"look for the secret {name}", SECRETS, lambda: self._api.get_secret(name))
            is not None
        )

    def set_secret(self, name: str, value: str) -> None:
        """Make it, or replace its value. PyGithub seals it with the repository's public key."""
        with self._account.asking(f"write the secret {name}", SECRETS):
            self._api.create_secret(name, value)

    def remove_secret(self, name: str) -> None:
        """Remove it, if it is there."""
        if self.has_secret(name):
            with self._account.asking(f"remove the secret {name}", SECRETS):
                self._request("DELETE", f"secrets/{quote(name)}")

    def names(self) -> frozenset[str]:
        """Paths of the files at the top of the default branch, and of its workflows."""
        top = self._contents("")
        if top is None:
            raise Error(f"{self.name} has no commit yet; push one, with what Nix should build, and run the same again")
        workflows = self._contents(_WORKFLOWS) or []
        return frozenset(each.path for each in [*top, *workflows] if each.type == "file")

    def read(self, path: str, branch: str = "") -> str | None:
        """A file's text; None if it is not there, or no file."""
        found = self._contents(path, branch)
        if found is None or isinstance(found, list) or found.type != "file":
            return None
        try:
            text: str = found.decoded_content.decode()
        except (UnicodeDecodeError, AssertionError) as error:
            raise Error(f"{self.name}: {path} is no text of less than 1 MB, as GitHub gives it") from error
        return text

    def lacks(self) -> str:
        """The scope that a pull request needs and the token has not; empty if it has all, or is fine-grained."""
        return self._account.missing_scopes((CONTENTS, WORKFLOWS), self._api.raw_headers)

    def proposal(self) -> str:
        """The address of the open pull request; empty if there is none."""
        return self._pull.address()

    def propose(self, proposal: Proposal) -> str:
        """Open the pull request, or update the open one; its address."""
        return self._pull.propose(proposal)

    def withdraw(self) -> str:
        """Close the pull request and remove its branch. Returns why they stay."""
        return self._pull.withdraw()

    def subject(self, branches: tuple[str, ...]) -> Subject:
        """The claims of pushes to the branches, by default the default branch. Raises Error for an organisation's
        own template of subjects, which a trust policy must be written for by hand.

        Source: GitHub's REST API, "Get the customization template for an OIDC subject claim for a repository". A
        server that is older than immutable subjects says no prefix.
        """
        with self._account.asking("read how subjects of id tokens are made", ACTIONS):
            said = self._request("GET", "oidc/customization/sub")
        prefix = said.get("sub_claim_prefix") or f"repo:{self.name}"
        if not said.get("use_default", True):
            template = ", ".join(said.get("include_claim_keys") or ("the organisation's",))
            raise Error(
                f"{self.name} has a template of its own for the subjects of id tokens ({template}), and a prefix "
                f"{prefix}; write the role's trust policy by hand, and give --credentials keys or its role"
            )
        return Subject(
            issuer=issuer(self._account.server),
            audience=AUDIENCE,
            subjects=tuple(f"{prefix}:ref:refs/heads/{branch}" for branch in branches or (self.default_branch,)),
            # AWS knows this claim of GitHub's own issuer only.
            repository_id=str(self._api.id) if self._account.host == PUBLIC else "",
            warning=""
            if said.get("use_immutable_subject")
            else f"the subject of its id tokens is {prefix}: to rename or transfer {self.name} changes it, and then "
            "no job gets into the role until init is run again",
        )

    def _contents(self, path: str, branch: str = "") -> Any:
        """A file, or the files of a directory; None if it is not there."""
        what = f"read {path or 'its files'}"
        return self._account.if_there(
            what, CONTENTS, lambda: self._api.get_contents(path, branch or self.default_branch)
        )

    def _request(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:
        url = f"{self._api.url}/actions/{path}"
        return self._api.requester.requestJsonAndCheck(method, url, input=body)[1]


def connect(server: str, name: str, environ: Mapping[str, str]) -> GitHubRepository:
    """The repository, with the token that is found. Raises InputError without one, and Error if it does not see it."""
    import github

    account = sign_in(server, name, environ)
    # No pauses between requests: there are some thirty in all. No retries: they would wait out a rate limit, for an
    # hour perhaps, and `init` can be run again at any time.
    client = github.Github(
        auth=github.Auth.Token(account.token.text),
        base_url=api_url(server),
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
    )
    with account.asking("find it", METADATA):
        try:
            api = client.get_repo(name)
        except github.UnknownObjectException as error:
            raise Error(
                f"{name}: not on {account.host}, or the token of {account.token.origin} may not see it; check the "
                "name, and that the token has the scope repo, or is fine-grained and for this repository and its owner"
            ) from error
    if not api.default_branch:
        raise Error(f"{name}: {account.host} gave an answer that is not of GitHub's API; check the address {server}")
    return GitHubRepository(account, api)
