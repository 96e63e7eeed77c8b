from pathlib import Path

import pytest

from nix_autocache.errors import Error, InputError
from nix_autocache.onboarding.github.account import CONTENTS, WORKFLOWS, Account, sign_in
from nix_autocache.onboarding.github.repository import connect
from nix_autocache.onboarding.repository import Proposal
from nix_autocache.onboarding.tokens import Token
from tests.harness.github_api import NOT_FOUND, GitHub, Refusal

PROPOSAL = Proposal(title="Cache", body="", files={".github/workflows/nix-cache.yml": "on: push\n"})
CLASSIC, FINE, OF_JOB = ("ghp_classic", "github_pat_fine", "ghs_of-a-job")
FORBIDDEN = Refusal(403, "Resource not accessible by personal access token")
SSO = "https://github.com/orgs/acme/sso?authorization_request=AAAA"
EVERY = "Actions (read), Contents, Pull requests, Secrets, Variables and Workflows (read and write)"


def use_everything(server: GitHub) -> None:
    """One call of each kind that `init` makes."""
    repository = connect(server.url, server.name, {"GH_ENTERPRISE_TOKEN": server.token})
    repository.names()
    repository.subject(("main",))
    repository.set_variable("NIX_CACHE", "s3://one")
    repository.set_variable("NIX_CACHE", "s3://two")
    repository.set_secret("NIX_SIGNING_KEY", "acme-1:secret")
    repository.propose(PROPOSAL)
    repository.withdraw()
    repository.remove_variable("NIX_CACHE")
    repository.remove_secret("NIX_SIGNING_KEY")


def line(server: GitHub, operation: str, refusal: Refusal) -> str:
    """What a user reads where the server refuses the operation; HOST stands for the server."""
    server.refusals[operation] = refusal
    with pytest.raises(Error) as caught:
        use_everything(server)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(server.url, "https://HOST").replace(server.url.removeprefix("http://"), "HOST")


@pytest.mark.parametrize(
    ("operation", "token", "refusal", "expected"),
    [
        (
            "repos/get",
            CLASSIC,
            NOT_FOUND,
            "acme/project: not on HOST, or the token of GH_ENTERPRISE_TOKEN may not see it; check the name, and that "
            "the token has the scope repo, or is fine-grained and for this repository and its owner",
        ),
        (
            "repos/get",
            CLASSIC,
            Refusal(401, "Bad credentials"),
            "acme/project: cannot find it: HOST does not accept the token of GH_ENTERPRISE_TOKEN (Bad credentials); "
            "it may have expired: make another at https://HOST/settings/tokens",
        ),
        (
            "repos/get",
            CLASSIC,
            Refusal(
                403, "Resource protected by organization SAML enforcement.", {"X-GitHub-SSO": f"required; url={SSO}"}
            ),
            "acme/project: cannot find it: the organisation wants single sign-on for the token of "
            f"GH_ENTERPRISE_TOKEN; approve it at {SSO}",
        ),
        (
            "repos/get",
            CLASSIC,
            Refusal(403, "Resource protected by organization SAML enforcement."),
            "acme/project: cannot find it: the organisation wants single sign-on for the token of "
            "GH_ENTERPRISE_TOKEN; approve it in the list of your tokens, at Configure SSO",
        ),
        (
            "actions/create-repo-variable",
            CLASSIC,
            Refusal(
                403,
                "API rate limit exceeded for user ID 1.",
                {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1764158400"},
            ),
            "acme/project: cannot write the variable NIX_CACHE: HOST has had too many requests of this token; run the "
            "same again after 12:00 UTC",
        ),
        (
            "git/create-ref",
            CLASSIC,
            Refusal(403, "You have exceeded a secondary rate limit.", {"Retry-After": "60"}),
            "acme/project: cannot write .github/workflows/nix-cache.yml: HOST has had too many requests of this "
            "token; run the same again in 60 s",
        ),
        (
            "actions/get-repo-variable",
            FINE,
            FORBIDDEN,
            "acme/project: cannot read the variable NIX_CACHE: the token of GH_ENTERPRISE_TOKEN lacks the permission "
            f"Variables; at https://HOST/settings/personal-access-tokens give it {EVERY} (HOST: {FORBIDDEN.message})",
        ),
        (
            "actions/create-or-update-repo-secret",
            FINE,
            FORBIDDEN,
            "acme/project: cannot write the secret NIX_SIGNING_KEY: the token of GH_ENTERPRISE_TOKEN lacks the "
            f"permission Secrets; at https://HOST/settings/personal-access-tokens give it {EVERY} "
            f"(HOST: {FORBIDDEN.message})",
        ),
        (
            "actions/get-repo-public-key",
            OF_JOB,
            Refusal(403, "Resource not accessible by integration"),
            "acme/project: cannot write the secret NIX_SIGNING_KEY: the token of GH_ENTERPRISE_TOKEN is of a job or "
            "an app, without the permission Secrets; use one of a person (HOST: Resource not accessible by "
            "integration)",
        ),
        (
            "git/create-tree",
            FINE,
            FORBIDDEN,
            "acme/project: cannot write .github/workflows/nix-cache.yml: the token of GH_ENTERPRISE_TOKEN lacks the "
            "permission Contents or Workflows; at https://HOST/settings/personal-access-tokens give it "
            f"{EVERY} (HOST: {FORBIDDEN.message})",
        ),
        (
            "pulls/create",
            FINE,
            FORBIDDEN,
            "acme/project: cannot open the pull request: the token of GH_ENTERPRISE_TOKEN lacks the permission Pull "
            f"requests; at https://HOST/settings/personal-access-tokens give it {EVERY} (HOST: {FORBIDDEN.message})",
        ),
        (
            "actions/get-custom-oidc-sub-claim-for-repo",
            FINE,
            FORBIDDEN,
            "acme/project: cannot read how subjects of id tokens are made: the token of GH_ENTERPRISE_TOKEN lacks the "
            f"permission Actions; at https://HOST/settings/personal-access-tokens give it {EVERY} "
            f"(HOST: {FORBIDDEN.message})",
        ),
        (
            "pulls/create",
            CLASSIC,
            Refusal(422, "Validation Failed", errors=("No commits between main and nix-autocache",)),
            "acme/project: cannot open the pull request: HOST answered 422: Validation Failed; No commits between "
            "main and nix-autocache",
        ),
        (
            "git/create-ref",
            CLASSIC,
            Refusal(403, "Repository was archived so is read-only."),
            "acme/project: cannot write .github/workflows/nix-cache.yml: the repository is archived, and so "
            "read-only; take it out of the archive in its settings",
        ),
        (
            "repos/get-content",
            CLASSIC,
            Refusal(502, "Server Error"),
            "acme/project: cannot read its files: HOST is in trouble (502); run the same again later, it goes on "
            "where it stopped",
        ),
    ],
)
def test_each_refusal_has_its_line(server: GitHub, operation: str, token: str, refusal: Refusal, expected: str) -> None:
    server.token = token
    assert line(server, operation, refusal) == expected


@pytest.mark.parametrize(
    "operation",
    [
        *("actions/update-repo-variable", "actions/delete-repo-variable", "actions/delete-repo-secret"),
        *("git/delete-ref", "pulls/update", "repos/compare-commits", "git/get-ref", "pulls/list"),
    ],
)
def test_no_refusal_is_overlooked(server: GitHub, operation: str) -> None:
    """PyGithub returns False for some of them."""
    assert line(server, operation, FORBIDDEN).startswith("acme/project: cannot ")


@pytest.mark.parametrize(
    ("token", "scopes", "expected"),
    [
        (CLASSIC, "repo", "lacks the scope workflow, or Contents or Workflows if it is fine-grained; change it at "),
        (CLASSIC, "repo, workflow", "you have no write access, or it is switched off; ask an owner of acme/project"),
    ],
)
def test_the_scopes_that_github_says_are_compared(server: GitHub, token: str, scopes: str, expected: str) -> None:
    server.token, server.scopes = token, scopes
    assert expected in line(server, "git/create-tree", NOT_FOUND)


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ("repo", "the token of gh lacks the scope workflow; give it that: gh auth refresh -h github.com -s workflow"),
        (
            "",
            "the token of gh lacks the scope repo and workflow; give it that: gh auth refresh -h github.com -s "
            "repo,workflow",
        ),
        ("gist, workflow, repo", ""),
    ],
)
def test_gh_gives_its_token_what_it_lacks(scopes: str, expected: str) -> None:
    account = Account("https://github.com", "acme/project", Token("gho_of-gh", "gh"))
    assert account.missing_scopes((CONTENTS, WORKFLOWS), {"x-oauth-scopes": scopes}) == expected


def test_without_a_token_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        sign_in("https://github.com", "acme/project", {"PATH": str(tmp_path)})
    assert str(caught.value) == (
        "no token for github.com: run gh auth login -h github.com -s workflow, or set GH_TOKEN to one of "
        "https://github.com/settings/tokens with the scopes repo and workflow"
    )


@pytest.mark.parametrize("server", ["https://github.com", "https://acme.ghe.com"])
def test_github_com_gets_the_token_of_github_com(server: str) -> None:
    environ = {"GH_TOKEN": "public", "GH_ENTERPRISE_TOKEN": "own"}
    assert sign_in(server, "acme/project", environ).token.text == "public"


@pytest.mark.parametrize("server", ["https://github.example.org", "https://github.com.example.org", "https://x"])
def test_no_other_server_gets_the_token_of_github_com(server: str, tmp_path: Path) -> None:
    """A checkout names the server: a stranger's may name the stranger's."""
    environ = {"GH_TOKEN": "public", "GITHUB_TOKEN": "public", "PATH": str(tmp_path)}
    with pytest.raises(InputError, match="set GH_ENTERPRISE_TOKEN"):
        sign_in(server, "acme/project", environ)
    assert sign_in(server, "acme/project", {**environ, "GH_ENTERPRISE_TOKEN": "own"}).token.text == "own"


def test_a_server_that_is_not_there_is_said(server: GitHub) -> None:
    with pytest.raises(Error) as caught:
        connect("http://127.0.0.1:9", "acme/project", {"GH_ENTERPRISE_TOKEN": "x"})
    assert str(caught.value) == (
        "acme/project: cannot find it: 127.0.0.1:9 cannot be reached: Connection refused; run the same again, it "
        "goes on where it stopped"
    )
    with pytest.raises(Error, match=r"nobody\.invalid cannot be reached: \w[^:]+; run the same again"):
        connect("https://nobody.invalid", "acme/project", {"GH_ENTERPRISE_TOKEN": "x"})
    with pytest.raises(Error, match=r"127\.0\.0\.1:\d+ cannot be reached: .*SSL.*; run the same again"):
        connect(server.url.replace("http:", "https:"), "acme/project", {"GH_ENTERPRISE_TOKEN": "x"})
