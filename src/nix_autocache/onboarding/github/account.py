"""Who we are on a GitHub server, and what its refusals mean.

GitHub answers a permission that is missing with 403 or 404, by the kind of token. Each becomes one line that names
the permission of fine-grained tokens, or the scope of the others, and where to change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from ...errors import Error, InputError, one_line
from ...system.dataclass import dataclass
from ..tokens import Token, find
from ..unreachable import reason
from .server import is_cloud

if TYPE_CHECKING:
    from github import GithubException

GH: Final = "gh"  # the program that keeps a token


@dataclass(frozen=True)
class Right:
    """A permission: as fine-grained tokens have it, and the scope that other tokens need for the same."""

    permission: str
    scope: str = "repo"


METADATA: Final = Right("Metadata")
CONTENTS: Final = Right("Contents")
PULLS: Final = Right("Pull requests")
WORKFLOWS: Final = Right("Workflows", "workflow")
SECRETS: Final = Right("Secrets")
VARIABLES: Final = Right("Variables")
ACTIONS: Final = Right("Actions")
_ALL: Final = "Actions (read), Contents, Pull requests, Secrets, Variables and Workflows (read and write)"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Account:
    """A token for a server, such as https://github.com, and the repository that we work on."""

    server: str
    name: str
    token: Token

    @property
    def host(self) -> str:
        return urlsplit(self.server).netloc

    @contextmanager
    def asking(self, doing: str, *rights: Right) -> Iterator[None]:
        """A block of requests, which needs the rights. What it raises becomes an Error, which begins with `doing`."""
        from github import GithubException
        from requests.exceptions import RequestException

        try:
            yield
        except GithubException as error:
            raise Error(f"{self.name}: cannot {doing}: {self._reason(error, rights)}") from error
        except RequestException as error:
            raise Error(
                f"{self.name}: cannot {doing}: {self.host} cannot be reached: {reason(error)}; run the same again, "
                "it goes on where it stopped"
            ) from error

    def if_there(self, doing: str, right: Right, call: Callable[[], _T]) -> _T | None:
        """What a request gives; None where the server answers that it is not there. Raises Error as `asking`."""
        from github import GithubException

        with self.asking(doing, right):
            try:
                return call()
            except GithubException as error:
                if error.status != 404:
                    raise
        return None

    def _reason(self, error: GithubException, rights: tuple[Right, ...]) -> str:
        headers: Mapping[str, str] = error.headers or {}
        said = _said(error.data)
        if error.status == 401:
            return f"{self.host} does not accept the token of {self.token.origin} ({said}); {self._another()}"
        if error.status in {403, 429} and (until := _limited(said, headers)):
            return f"{self.host} has had too many requests of this token; run the same again {until}"
        if error.status == 403 and (sso := _single_sign_on(said, headers)):
            return f"the organisation wants single sign-on for the token of {self.token.origin}; {sso}"
        if error.status == 403 and "archived" in said:
            return "the repository is archived, and so read-only; take it out of the archive in its settings"
        if error.status in {403, 404}:
            return f"{self._lacking(rights, headers)} ({self.host}: {said})"
        if error.status >= 500:
            return f"{self.host} is in trouble ({error.status}); run the same again later, it goes on where it stopped"
        return f"{self.host} answered {error.status}: {said}"

    def _lacking(self, rights: tuple[Right, ...], headers: Mapping[str, str]) -> str:
        """The token's kind shows by its prefix: docs.github.com, "About authentication to GitHub"."""
        token = f"the token of {self.token.origin}"
        permissions = " or ".join(right.permission for right in rights)
        if self.token.text.startswith("github_pat_"):
            where = f"{self.server}/settings/personal-access-tokens"
            return f"{token} lacks the permission {permissions}; at {where} give it {_ALL}"
        if self.token.text.startswith("ghs_"):
            return f"{token} is of a job or an app, without the permission {permissions}; use one of a person"
        if "x-oauth-scopes" in headers:
            none = f"you have no write access, or it is switched off; ask an owner of {self.name}"
            return self.missing_scopes(rights, headers) or none
        return self._without(list(dict.fromkeys(right.scope for right in rights)), permissions)

    def missing_scopes(self, rights: tuple[Right, ...], headers: Mapping[str, object]) -> str:
        """The scopes that the token lacks, by the headers of any answer, and what to do; empty if it has them. GitHub
        says nothing of fine-grained tokens."""
        if "x-oauth-scopes" not in headers:
            return ""
        has = {scope.strip() for scope in str(headers["x-oauth-scopes"]).split(",")}
        missing = list(dict.fromkeys(right.scope for right in rights if right.scope not in has))
        permissions = " or ".join(right.permission for right in rights)
        return self._without(missing, permissions) if missing else ""

    def _without(self, scopes: list[str], permissions: str) -> str:
        lacks = f"the token of {self.token.origin} lacks the scope {' and '.join(scopes)}"
        if self.token.origin == GH:
            return f"{lacks}; give it that: gh auth refresh -h {self.host} -s {','.join(scopes)}"
        return f"{lacks}, or {permissions} if it is fine-grained; change it at {self.server}/settings/tokens"

    def _another(self) -> str:
        by_hand = f"make another at {self.server}/settings/tokens"
        return f"it may have expired: {f'gh auth login -h {self.host}' if self.token.origin == GH else by_hand}"


def sign_in(server: str, name: str, environ: Mapping[str, str]) -> Account:
    """With the token that gh would use for this server. Raises InputError if there is none.

    A token for github.com goes to no other server: the address is one that a checkout named.
    """
    host = urlsplit(server).netloc
    names = ("GH_TOKEN", "GITHUB_TOKEN") if is_cloud(server) else ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
    token = find(environ, names, (GH, "auth", "token", "--hostname", host))
    if token is None:
        raise InputError(
            f"no token for {host}: run gh auth login -h {host} -s workflow, or set {names[0]} to one of "
            f"{server}/settings/tokens with the scopes repo and workflow"
        )
    return Account(server, name, token)


def _said(data: Any) -> str:
    """GitHub's own words, with those about single fields."""
    if not isinstance(data, dict):
        return one_line(Error(str(data or "no reason")))
    words = [str(data.get("message") or data.get("data") or "no reason")]
    for each in data.get("errors") or ():
        words.append(str(each.get("message") or each.get("code")) if isinstance(each, dict) else str(each))
    return one_line(Error("; ".join(words)))


def _limited(said: str, headers: Mapping[str, str]) -> str:
    """When to try again, for a refusal of too many requests; else empty."""
    if wait := headers.get("retry-after"):
        return f"in {wait} s"
    if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdecimal():
        reset = datetime.fromtimestamp(int(headers["x-ratelimit-reset"]), UTC)
        return f"after {reset:%H:%M} UTC"
    return "in a few minutes" if "rate limit" in said.lower() else ""


def _single_sign_on(said: str, headers: Mapping[str, str]) -> str:
    """What to do, for a refusal of a token that no single sign-on has approved; else empty."""
    _, _, address = headers.get("x-github-sso", "").partition("url=")
    if address:
        return f"approve it at {address}"
    return "approve it in the list of your tokens, at Configure SSO" if "SAML" in said else ""
