"""GitHub's cache: which job writes which scope of it, by the event's payload, the ref and the token."""

from base64 import urlsafe_b64encode

import pytest

from nix_autocache.ci.github import GitHub
from nix_autocache.ci.gitlab import GitLab
from nix_autocache.ci.local import Local
from tests.harness import events
from tests.harness.actions_cache import READ, WRITE, token

MAIN, FEATURE, PULL = "refs/heads/main", "refs/heads/feature", "refs/pull/7/merge"
QUEUE, TAG = "refs/heads/gh-readonly-queue/main/pr-7", "refs/tags/v1.0.0"
OWN = {PULL: READ | WRITE, MAIN: READ}
UNREAD = "no later job reads what is cached for"
UNTRUSTED = f"is not trusted, and trusted jobs read what is cached for {MAIN}"
DENIED = "the token of this job may not write GitHub's cache"


def read_only(payload: str, ref: str, given: str = "", **more: str) -> str:
    host = GitHub({**events.github(payload), "GITHUB_REF": ref, "ACTIONS_RUNTIME_TOKEN": given, **more})
    found = host.repository_cache()
    assert found
    return found.read_only


@pytest.mark.parametrize(
    ("payload", "ref", "scopes"),
    [
        ("push", MAIN, {MAIN: READ | WRITE}),
        ("push", FEATURE, {FEATURE: READ | WRITE, MAIN: READ}),
        ("schedule", MAIN, {MAIN: READ | WRITE}),
        ("workflow_dispatch", FEATURE, {FEATURE: READ | WRITE, MAIN: READ}),
        ("pull_request-same-repository", PULL, OWN),
        ("pull_request-dependabot", PULL, OWN),
        ("pull_request-fork", PULL, OWN),
        ("pull_request-deleted-fork", PULL, OWN),
        ("workflow_run-own-push", MAIN, {MAIN: READ | WRITE}),
    ],
)
def test_a_job_writes_the_scope_of_its_own_ref(payload: str, ref: str, scopes: dict[str, int]) -> None:
    assert read_only(payload, ref) == read_only(payload, ref, token(scopes)) == ""


@pytest.mark.parametrize(
    "payload",
    [
        "pull_request_target-fork",
        "pull_request_target-same-repository",
        "issue_comment",
        "workflow_run-fork",
        "workflow_run-deleted-fork",
        "workflow_run-own-comment",
        "unknown",
    ],
)
@pytest.mark.parametrize("ref", [MAIN, "refs/heads/24.11"])
@pytest.mark.parametrize("scopes", [None, {MAIN: READ | WRITE}], ids=["no token", "a token that may write it"])
def test_no_untrusted_event_writes_a_branch(payload: str, ref: str, scopes: dict[str, int] | None) -> None:
    """Someone may have set `cache-mode: write`, and GHES knows no tokens that only read."""
    reason = read_only(payload, ref, token(scopes) if scopes else "")
    assert f"is not trusted, and trusted jobs read what is cached for {ref}" in reason


@pytest.mark.parametrize("payload", ["pull_request-fork", "pull_request-deleted-fork", "pull_request_target-fork"])
def test_neither_does_one_whose_ref_is_a_pull_request_and_whose_token_may_write_a_branch(payload: str) -> None:
    assert UNTRUSTED in read_only(payload, PULL, token({PULL: READ | WRITE, MAIN: READ | WRITE}))
    assert UNTRUSTED.partition(" for ")[0] in read_only(payload, "")


@pytest.mark.parametrize("payload", ["pull_request-fork", "pull_request_target-fork"])
def test_nor_one_on_a_server_that_keeps_no_branches_apart(payload: str) -> None:
    """Source: CreateAuthorizationToken of Gitea and Forgejo, services/actions/auth.go."""
    given = token({"": WRITE})
    assert "is not trusted, and trusted jobs read what is cached for all branches" in read_only(payload, PULL, given)
    assert read_only("pull_request-same-repository", PULL, given) == read_only("push", MAIN, given) == ""
    found = GitHub({"GITHUB_REF": MAIN, "ACTIONS_RUNTIME_TOKEN": given}).repository_cache()
    assert found
    assert found.writers.startswith("every job of the repository can write")


@pytest.mark.parametrize(
    ("payload", "ref"), [("tag", TAG), ("release", TAG), ("workflow_dispatch", TAG), ("merge_group", QUEUE)]
)
def test_what_no_later_job_would_read_is_not_written(payload: str, ref: str) -> None:
    assert read_only(payload, ref, token({ref: READ | WRITE, MAIN: READ})) == f"{UNREAD} {ref}"


@pytest.mark.parametrize("scopes", [{}, {MAIN: READ}, {PULL: READ, MAIN: READ}])
def test_a_token_that_may_only_read_is_a_reason(scopes: dict[str, int]) -> None:
    assert read_only("pull_request-fork", PULL, token(scopes)) == DENIED
    assert read_only("push", MAIN, token(scopes)) == DENIED


def token_with(claims: bytes) -> str:
    return f"e30.{urlsafe_b64encode(claims).decode()}.x"


@pytest.mark.parametrize(
    "given",
    [
        *("opaque", "a.b", "..", "a.\u00e9.c", token_with(b"{"), token_with(b"[]"), token_with(b"{}")),
        *(token_with(b'{"ac": %s}' % each) for each in (b"7", b"null", b'"x"', b'"7"', b'"[7]"', b'"[{}]"')),
        token_with(b'{"ac": "[{\\"Scope\\": \\"x\\", \\"Permission\\": \\"all\\"}]"}'),
    ],
)
def test_a_token_that_says_nothing_changes_nothing(given: str) -> None:
    """The claim is a hint: the service decides."""
    assert read_only("push", MAIN, given) == ""
    assert UNTRUSTED in read_only("issue_comment", MAIN, given)


@pytest.mark.parametrize("mode", ["read", "none"])
def test_a_workflow_may_forbid_to_write(mode: str) -> None:
    expected = f"this job may not write GitHub's cache (ACTIONS_CACHE_MODE is {mode})"
    assert read_only("push", MAIN, ACTIONS_CACHE_MODE=mode) == expected
    assert read_only("push", MAIN, ACTIONS_CACHE_MODE=f" {mode.title()} ") == expected


@pytest.mark.parametrize("mode", ["", "write", "write-only", "of-next-year"])
def test_any_other_mode_lets_a_job_write(mode: str) -> None:
    assert read_only("push", MAIN, ACTIONS_CACHE_MODE=mode) == ""


@pytest.mark.parametrize("mode", ["none", "write-only"])
def test_where_a_workflow_forbids_to_read_nothing_is_read(mode: str) -> None:
    found = GitHub({"GITHUB_REF": MAIN, "ACTIONS_CACHE_MODE": mode}).repository_cache()
    assert found
    assert found.unreadable == f"this job may not read GitHub's cache (ACTIONS_CACHE_MODE is {mode})"


def test_any_other_mode_lets_a_job_read() -> None:
    for mode in ("read", "write", "of-next-year", ""):
        found = GitHub({"GITHUB_REF": MAIN, "ACTIONS_CACHE_MODE": mode}).repository_cache()
        assert found
        assert found.unreadable == ""


def test_other_hosts_keep_none() -> None:
    assert GitLab({}).repository_cache() is None
    assert Local({}).repository_cache() is None
