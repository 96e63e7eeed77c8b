"""How each CI host hands secrets on to a job's later steps."""

from typing import Any

import pytest

from nix_autocache.ci.github import GitHub
from nix_autocache.ci.gitlab import GitLab
from nix_autocache.ci.host import Host
from nix_autocache.ci.local import Local

HOSTS = [
    (
        GitHub({"RUNNER_ENVIRONMENT": "github-hosted"}),
        {"as_text": ["signing-key"]},
        "signing-key: GitHub gives it to the post step again, and the job's code can change what that step runs",
    ),
    (
        GitHub({"RUNNER_ENVIRONMENT": "github-hosted"}),
        {"memory_is_open": True},
        "the runner had the secrets, and this kernel lets the job's code read its memory (no Yama)",
    ),
    (
        GitHub({"RUNNER_ENVIRONMENT": "github-hosted"}),
        {"by_token": True},
        "with `id-token: write`, the job's later steps can assume `aws-role` as well",
    ),
    (GitHub({}), {}, "this runner outlives its jobs, and an earlier one may have changed what runs as its user"),
    (GitLab({}), {}, "GitLab gives the job's code all that it gives to before_script, and to after_script again"),
    (Local({"CI": "true"}), {}, "this CI host is not known: it may hand to the job's code what it handed to us"),
    (Local({}), {"by_token": True}, "what began this job has the id token, and can assume `aws-role` with it"),
    (Local({}), {"as_text": ["x"]}, "x: what began this job has it in its arguments or its environment"),
]


@pytest.mark.parametrize(("host", "found", "sentence"), HOSTS)
def test_how_a_host_hands_on_secrets_is_named(host: Host, found: dict[str, Any], sentence: str) -> None:
    (way,) = host.exposures(**{"as_text": [], "by_token": False, "memory_is_open": False, **found})
    assert way.startswith(sentence)


def test_a_host_that_hands_on_nothing_is_not_named() -> None:
    for host in (GitHub({"RUNNER_ENVIRONMENT": "github-hosted"}), Local({})):
        assert list(host.exposures([], by_token=False, memory_is_open=False)) == []
