"""A project of the GitLab fake, as `init` connects to it."""

from collections.abc import Mapping

from nix_autocache.onboarding import gitlab
from nix_autocache.onboarding.gitlab import GitLabRepository
from tests.harness.gitlab_api import NAME, TOKEN, GitLabApi

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def connected(api: GitLabApi, environ: Mapping[str, str] | None = None) -> GitLabRepository:
    return gitlab.connect(api.url, NAME, {"GITLAB_TOKEN": TOKEN} if environ is None else environ)
