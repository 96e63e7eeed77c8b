"""Lanes: the same for each run of a job, another for every other job, and no name of a branch in them."""

import json
import re
from pathlib import Path

import pytest

from nix_autocache.ci.github import GitHub
from nix_autocache.ci.gitlab import GitLab
from nix_autocache.ci.host import Host
from nix_autocache.ci.lane import Lanes
from nix_autocache.ci.local import Local

GITHUB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/project",
    "GITHUB_REF": "refs/heads/secret-plan",
    "GITHUB_WORKFLOW": "ci",
    "GITHUB_JOB": "build",
}
GITLAB = {
    "CI_SERVER_HOST": "gitlab.com",
    "CI_PROJECT_PATH": "acme/project",
    "CI_COMMIT_REF_NAME": "secret-plan",
    "CI_JOB_NAME": "build: [x, y]",
    "CI_DEFAULT_BRANCH": "main",
}


@pytest.fixture
def event(tmp_path: Path) -> dict[str, str]:
    payload = tmp_path / "event.json"
    payload.write_text(json.dumps({"repository": {"default_branch": "main"}}))
    return {"GITHUB_EVENT_PATH": str(payload)}


def lanes(host: Host, matrix: str = "") -> Lanes:
    found = host.lanes(matrix)
    assert found
    return found


def test_a_branch_reads_its_own_lane_and_then_the_default_branchs(event: dict[str, str]) -> None:
    branch, main = (lanes(GitHub({**GITHUB, **event, "GITHUB_REF": f"refs/heads/{name}"})) for name in ("plan", "main"))
    assert branch.all == (branch.own, main.own)
    assert main.all == (main.own,)
    assert branch.own.lane == main.own.lane
    branch, main = (lanes(GitLab({**GITLAB, "CI_COMMIT_REF_NAME": name})) for name in ("plan", "main"))
    assert branch.all == (branch.own, main.own)
    assert main.all == (main.own,)


def test_a_schedule_runs_on_the_default_branch_also_if_its_payload_does_not_say(tmp_path: Path) -> None:
    """Its cache would be cut to the size of another branch's."""
    payload = tmp_path / "event.json"
    payload.write_text('{"schedule": "0 4 * * *"}')
    job = {**GITHUB, "GITHUB_EVENT_PATH": str(payload)}
    assert lanes(GitHub({**job, "GITHUB_EVENT_NAME": "schedule"})).is_default
    assert not lanes(GitHub({**job, "GITHUB_EVENT_NAME": "push"})).is_default


def test_a_pull_request_reads_the_branch_that_it_is_for_before_the_default_branch(event: dict[str, str]) -> None:
    pull = {**GITHUB, **event, "GITHUB_REF": "refs/pull/7/merge"}
    stable, main = (
        lanes(GitHub({**GITHUB, **event, "GITHUB_REF": f"refs/heads/{name}"})) for name in ("24.11", "main")
    )
    found = lanes(GitHub({**pull, "GITHUB_BASE_REF": "24.11"}))
    assert found.all == (found.own, stable.own, main.own)
    found = lanes(GitHub({**pull, "GITHUB_BASE_REF": "main"}))
    assert found.all == (found.own, main.own)
    merge = {**GITLAB, "CI_MERGE_REQUEST_REF_PATH": "refs/merge-requests/1/head"}
    stable = lanes(GitLab({**GITLAB, "CI_COMMIT_REF_NAME": "24.11"}))
    assert lanes(GitLab({**merge, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "24.11"})).all[1] == stable.own


@pytest.mark.parametrize("host", [GitHub(GITHUB), GitLab(GITLAB)], ids=["GitHub", "GitLab"])
def test_a_lane_is_a_name_for_an_object_and_shows_nothing(host: Host) -> None:
    own = lanes(host).own
    assert re.fullmatch("[0-9a-f]{16}", own.scope)
    assert re.fullmatch("[0-9a-f]{8}", own.lane)


@pytest.mark.parametrize("name", ["GITHUB_REPOSITORY", "GITHUB_REF", "GITHUB_WORKFLOW", "GITHUB_JOB"])
def test_another_job_on_github_has_another_lane(name: str) -> None:
    assert lanes(GitHub({**GITHUB, name: "other"})).own != lanes(GitHub(GITHUB)).own


def test_each_job_of_a_matrix_has_its_lane_on_the_same_branch() -> None:
    one, two = (lanes(GitHub(GITHUB), matrix).own for matrix in ('{"os": "x"}', '{"os": "y"}'))
    assert one.scope == two.scope
    assert one.lane != two.lane


@pytest.mark.parametrize("name", ["CI_SERVER_HOST", "CI_PROJECT_PATH", "CI_COMMIT_REF_NAME", "CI_JOB_NAME"])
def test_another_job_on_gitlab_has_another_lane(name: str) -> None:
    assert lanes(GitLab({**GITLAB, name: "other"})).own != lanes(GitLab(GITLAB)).own


def test_a_tag_and_a_merge_request_are_no_branch() -> None:
    branch = lanes(GitLab(GITLAB)).own
    assert lanes(GitLab({**GITLAB, "CI_COMMIT_TAG": "secret-plan"})).own != branch
    assert lanes(GitLab({**GITLAB, "CI_MERGE_REQUEST_REF_PATH": "refs/merge-requests/1/head"})).own != branch


def test_where_no_job_can_be_told_from_another_there_is_no_lane() -> None:
    for host in (GitHub({}), GitLab({}), Local({})):
        assert host.lanes("") is None


@pytest.mark.parametrize("payload", ["", "[]", "{}", *(f'{{"repository": {each}}}' for each in ("null", "{}", "7"))])
def test_without_a_default_branch_there_is_the_jobs_own_lane(tmp_path: Path, payload: str) -> None:
    (tmp_path / "event.json").write_text(payload)
    found = lanes(GitHub({**GITHUB, "GITHUB_EVENT_PATH": str(tmp_path / "event.json")}))
    assert found.all == (found.own,)
