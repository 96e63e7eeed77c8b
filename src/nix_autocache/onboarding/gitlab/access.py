"""Access to a GitLab server: which token is used, and its refusals as one line that names what is missing.

Sources: glab's manual for the order of the variables; GitLab's "REST API authentication" for the Bearer header, which
takes personal, project, group and OAuth tokens alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ...errors import Error, InputError, one_line
from ...system.dataclass import dataclass
from ..tokens import Token, find
from ..unreachable import reason

if TYPE_CHECKING:
    from gitlab.exceptions import GitlabError

VARIABLES: Final = ("GITLAB_TOKEN", "GITLAB_ACCESS_TOKEN", "OAUTH_TOKEN")
_PUBLIC: Final = "gitlab.com"
_HOST: Final = "GITLAB_HOST"  # glab's variable for another server


def find_token(server: str, environ: Mapping[str, str]) -> Token:
    """The token for a server: of glab's variables the first that is set, or glab's own. Raises InputError.

    The variables are for gitlab.com, or the server that the person names: a checkout names any.
    """
    host = urlsplit(server).netloc
    is_named = host in {_PUBLIC, environ.get(_HOST, "").rpartition("//")[2].rstrip("/")}
    token = find(environ, VARIABLES if is_named else (), ("glab", "config", "get", "token", "--host", host))
    if token is not None:
        return token
    which = "GITLAB_TOKEN" if host == _PUBLIC else f"GITLAB_HOST to {host}, and GITLAB_TOKEN"
    raise InputError(
        f"there is no token for {server}: set {which} to one with the scope api, from "
        f"{server}/-/user_settings/personal_access_tokens, or run `glab auth login --hostname {host}`"
    )


@dataclass(frozen=True)
class Access:
    """A server, the project asked about and the token's origin, for messages."""

    server: str
    project: str
    origin: str

    @contextmanager
    def needs(self, role: str, action: str) -> Iterator[None]:
        """Raise Error for what GitLab or the network refuses inside: `action` says what was tried, as in "set the
        variable X", and `role` is the one that GitLab asks for."""
        from gitlab.exceptions import GitlabError
        from requests import RequestException

        try:
            yield
        except GitlabError as error:
            raise Error(self._refusal(error, role, action)) from error
        except RequestException as error:
            raise Error(
                f"cannot {action}: {self.server} cannot be reached ({reason(error)}); run init again later, and it "
                "goes on where it stopped"
            ) from error

    def _refusal(self, error: GitlabError, role: str, action: str) -> str:
        status, said = error.response_code, _said(error)
        failed = f"cannot {action} of {self.project}"
        if re.search(r"\b(SAML|SSO)\b", said):
            return f"{failed}: {said}; sign in at {self.server} with your group's SSO, then run init again"
        if status == 401:
            return (
                f"{failed}: {self.server} refuses the token of {self.origin} ({said}); it is wrong, revoked or "
                "expired: make one with the scope api"
            )
        if "insufficient_scope" in said:
            return f"{failed}: the token of {self.origin} lacks the scope api"
        if "insufficient_granular_scope" in said:
            return f"{failed}: the token of {self.origin} lacks a permission: {said}"
        if status == 403:
            return f"{failed}: the token of {self.origin} lacks the role {role} in the project ({said})"
        if status is not None and status >= 500:
            return f"{failed}: {self.server} answers {status}; run init again later, and it goes on where it stopped"
        return f"{failed}: {self.server} answers {said}"


@contextmanager
def if_there() -> Iterator[None]:
    """Leave the block where GitLab answers that the thing is not there."""
    from gitlab.exceptions import GitlabError

    try:
        yield
    except GitlabError as error:
        if error.response_code != 404:
            raise


def _said(error: GitlabError) -> str:
    """GitLab's words on one line: `error` with its description, or `message`, which may be lists by attribute."""
    try:
        body = json.loads(error.response_body or b"")
        words = " ".join(str(body[key]) for key in ("error", "error_description", "message") if body.get(key))
    except (ValueError, AttributeError, TypeError):
        words = ""
    text = one_line(Error(" ".join((words or str(error.error_message)).split())))
    status = str(error.response_code or "")
    return text if status in text else f"{status} {text}".strip()
