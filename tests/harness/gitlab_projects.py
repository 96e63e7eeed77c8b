"""A project of the GitLab fake, as `init` connects to it."""

from collections.abc import Mapping

from nix_autocache.onboarding.gitlab.project import GitLabRepository, connect
from tests.harness.gitlab_api import NAME, TOKEN, GitLabApi

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def connected(api: GitLabApi, environ: Mapping[str, str] | None = None) -> GitLabRepository:
    return connect(api.url, NAME, token(api) if environ is None else environ)


def token(api: GitLabApi) -> dict[str, str]:
    """The variables of a person who has a token for this server."""
    return {"GITLAB_HOST": api.url, "GITLAB_TOKEN": TOKEN}
