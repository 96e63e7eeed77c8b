"""A project on GitLab: what `init` sets and proposes there, what is refused, and what a loss of the network leaves."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nix_autocache.errors import Error, InputError
from nix_autocache.onboarding.cache_setup import CacheSetup
from nix_autocache.onboarding.gitlab import pipeline_files
from nix_autocache.onboarding.gitlab.project import GitLabRepository
from nix_autocache.onboarding.lead import message
from nix_autocache.onboarding.proposal_step import ProposalStep
from nix_autocache.onboarding.repository import BRANCH
from nix_autocache.onboarding.steps import Now, Step
from nix_autocache.onboarding.values import SecretStep, VariableStep
from tests.harness.gitlab_api import NAME, TOKEN, GitLabApi, Refusal, serving
from tests.harness.gitlab_projects import COMMIT, connected

KEY = "acme-project-1:" + "A" * 86 + "=="
CACHE = "s3://bucket?region=eu-west-1&endpoint=$HOME"
PIPELINE = ".gitlab-ci.yml"


@pytest.fixture
def api() -> Iterator[GitLabApi]:
    with serving(GitLabApi()) as made:
        yield made


def steps(project: GitLabRepository) -> tuple[Step, ...]:
    proposal = pipeline_files.proposal(project, CacheSetup(cache=CACHE), COMMIT)
    values = (VariableStep(project, "NIX_CACHE", CACHE), SecretStep(project, "NIX_SIGNING_KEY", KEY))
    return (*values, ProposalStep(project, proposal))


def carry_out(api: GitLabApi) -> None:
    for step in steps(connected(api)):
        if step.look().now is not Now.RIGHT:
            step.apply()


def undo(api: GitLabApi) -> None:
    for step in reversed(steps(connected(api))):
        step.remove()


def test_a_variable_is_for_all_jobs_and_a_secret_for_protected_branches_only(api: GitLabApi) -> None:
    carry_out(api)
    row = {"raw": True, "environment_scope": "*"}
    plain, secret = {"protected": False, "masked": False}, {"protected": True, "masked": True}
    assert api.variables == {
        "NIX_CACHE": {"key": "NIX_CACHE", "value": CACHE, "hidden": False, **plain, **row},
        "NIX_SIGNING_KEY": {"key": "NIX_SIGNING_KEY", "value": KEY, "hidden": True, **secret, **row},
    }
    project = connected(api)
    assert project.variable("NIX_CACHE") == CACHE
    assert project.variable("NIX_SIGNING_KEY") is None, "nobody is shown it"
    assert project.has_secret("NIX_SIGNING_KEY")


def test_a_secret_that_somebody_made_for_all_branches_becomes_protected(api: GitLabApi) -> None:
    project = connected(api)
    project.set_variable("NIX_SIGNING_KEY", "of old")
    project.set_secret("NIX_SIGNING_KEY", KEY)
    row = api.variables["NIX_SIGNING_KEY"]
    assert (row["value"], row["protected"], row["masked"]) == (KEY, True, True)


def test_a_key_of_google_is_written_so_that_gitlab_masks_it(api: GitLabApi) -> None:
    key = {"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\nMIIE\n"}
    connected(api).set_secret("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key, indent=2))
    row = api.variables["GOOGLE_SERVICE_ACCOUNT_KEY"]
    assert row["masked"]
    assert json.loads(row["value"]) == key


@pytest.mark.parametrize("value", ["short", "two words are not", "a line\nand one"])
def test_what_gitlab_cannot_mask_is_no_secret_there(api: GitLabApi, value: str) -> None:
    with pytest.raises(InputError, match="NIX_SIGNING_KEY cannot be masked on GitLab"):
        connected(api).set_secret("NIX_SIGNING_KEY", value)
    assert not api.variables


def test_one_commit_and_one_merge_request_have_all_files(api: GitLabApi) -> None:
    carry_out(api)
    assert api.asked.count("commits/create") == 1
    assert set(api.branches) == {"main", BRANCH}
    assert set(api.branches[BRANCH]) == {"default.nix", PIPELINE}
    (request,) = api.requests
    assert request["target_branch"] == "main"
    assert connected(api).proposal() == f"{api.url}/{NAME}/-/merge_requests/1"


def test_a_second_run_writes_nothing(api: GitLabApi) -> None:
    carry_out(api)
    done = len(api.writes)
    carry_out(api)
    assert len(api.writes) == done


def test_undo_leaves_the_project_as_it_was(api: GitLabApi) -> None:
    carry_out(api)
    undo(api)
    assert api.branches == GitLabApi().branches
    assert api.variables == {}
    assert [row["state"] for row in api.requests] == ["closed"]
    done = len(api.writes)
    undo(api)
    assert set(api.writes[done:]) <= {"variables/delete"}


def test_after_the_merge_there_is_nothing_to_do(api: GitLabApi) -> None:
    carry_out(api)
    api.branches["main"] = api.branches.pop(BRANCH)
    api.requests[0]["state"] = "merged"
    assert {step.look().now for step in steps(connected(api))} == {Now.RIGHT}


def test_what_others_committed_to_the_open_request_stays(api: GitLabApi) -> None:
    carry_out(api)
    api.branches[BRANCH] |= {"README": "theirs", PIPELINE: "{}"}
    api.requests[0]["title"] = "theirs"
    carry_out(api)
    assert api.branches[BRANCH]["README"] == "theirs"
    assert api.branches[BRANCH][PIPELINE] != "{}"
    assert api.requests[0]["title"] != "theirs"


def test_what_people_change_in_the_open_request_stays(api: GitLabApi) -> None:
    api.branches["main"][PIPELINE] = "make:\n  script:\n    - make\n"
    project = connected(api)
    project.propose(pipeline_files.proposal(project, CacheSetup(), COMMIT))
    for path, text in list(api.branches[BRANCH].items()):
        api.branches[BRANCH][path] = text.replace("- make", "- make all").replace("nix-build", "nix-build -A all")
    again = pipeline_files.proposal(project, CacheSetup(), COMMIT, BRANCH)
    assert again.files == {path: api.branches[BRANCH][path] for path in (pipeline_files.PART, PIPELINE)}
    assert "nix-build -A all" in again.files[pipeline_files.PART]
    assert "- make all" in again.files[PIPELINE]


def test_a_branch_that_is_left_of_an_earlier_time_gives_way(api: GitLabApi) -> None:
    api.branches[BRANCH] = {"default.nix": "an old one", PIPELINE: "{}"}
    api.commits[BRANCH] = [message("x")]
    carry_out(api)
    assert api.branches[BRANCH]["default.nix"] == api.branches["main"]["default.nix"]


@pytest.mark.parametrize("proposed", [False, True])
def test_a_branch_that_somebody_else_made_is_neither_written_to_nor_removed(api: GitLabApi, proposed: bool) -> None:
    api.branches[BRANCH] = {"default.nix": "the work of weeks"}
    if proposed:
        row = {"iid": 1, "source_project_id": 7, "source_branch": BRANCH, "state": "opened", "web_url": ""}
        api.requests.append({**row, "title": "theirs", "description": ""})
    before = copy.deepcopy(api.state())
    project = connected(api)
    step = ProposalStep(project, pipeline_files.proposal(project, CacheSetup(), COMMIT))
    with pytest.raises(Error, match=f"^acme/project: its branch {BRANCH} has commits that init did not make; rename"):
        step.apply()
    assert (
        step.remove()
        == f"the branch {BRANCH} has commits that init did not make; remove it yourself if nobody needs it"
    )
    assert api.state() == before


def test_commits_of_others_on_a_branch_without_a_request_stay(api: GitLabApi) -> None:
    carry_out(api)
    api.requests[0]["state"] = "closed"
    api.commits[BRANCH].append("mended")
    undo(api)
    assert BRANCH in api.branches


def test_a_forks_request_from_a_branch_of_that_name_is_not_ours(api: GitLabApi) -> None:
    fork = {"iid": 1, "source_project_id": 8, "source_branch": BRANCH, "state": "opened", "web_url": "", "title": "x"}
    api.requests.append({**fork, "description": ""})
    carry_out(api)
    assert len(api.requests) == 2
    undo(api)
    assert [row["state"] for row in api.requests] == ["opened", "closed"]


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_loss_at_any_request_is_made_good_by_the_next_run(after: bool) -> None:
    with serving(GitLabApi()) as whole:
        carry_out(whole)
    assert len(whole.asked) > 10
    for number in range(len(whole.asked)):
        with serving(GitLabApi(dies_at=number, dies_after=after)) as api:
            with pytest.raises(Error, match=r"cannot be reached .*; run init again later"):
                carry_out(api)
            carry_out(api)
        assert api.state() == whole.state(), f"lost at {api.asked[number]}"


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_loss_at_any_request_of_undo_is_made_good_by_the_next_run(after: bool) -> None:
    with serving(GitLabApi()) as whole:
        carry_out(whole)
        first = len(whole.asked)
        undo(whole)
    for number in range(first, len(whole.asked)):
        with serving(GitLabApi()) as api:
            carry_out(api)
            api.dies_at, api.dies_after = number, after
            with pytest.raises(Error, match="cannot be reached"):
                undo(api)
            undo(api)
        assert api.state() == whole.state(), f"lost at {api.asked[number]}"


FORBIDDEN = Refusal(403, {"message": "403 Forbidden"})
SCOPE = Refusal(403, {"error": "insufficient_scope", "error_description": "higher privileges", "scope": "api"})
GRANULAR = Refusal(403, {"error": "insufficient_granular_scope", "error_description": "lacks [Create Variable]"})
EXPIRED = Refusal(401, {"error": "invalid_token", "error_description": "Token is expired."})
SAML = Refusal(403, {"message": "403 Forbidden - SAML SSO session required"})


@pytest.mark.parametrize(
    ("operation", "refusal", "line"),
    [
        ("projects/get", EXPIRED, "look at the settings of acme/project: .* refuses the token of GITLAB_TOKEN"),
        ("projects/get", SAML, "SAML SSO session required; sign in at http://.* with your group's SSO"),
        ("projects/get", Refusal(502, {}), "answers 502; run init again later"),
        ("variables/get", FORBIDDEN, "read the variable NIX_CACHE of acme/project: .* lacks the role Maintainer"),
        ("variables/create", SCOPE, "set the variable NIX_CACHE of .* of GITLAB_TOKEN lacks the scope api"),
        ("variables/create", GRANULAR, "lacks a permission: .*Create Variable"),
        ("variables/create", Refusal(400, {"message": {"value": ["is invalid"]}}), r"answers 400 .*is invalid"),
        ("repository/tree", FORBIDDEN, "list the files of acme/project: .* lacks the role Reporter"),
        ("files/get", FORBIDDEN, "read the file .* lacks the role Reporter"),
        ("commits/create", FORBIDDEN, f"push the branch {BRANCH} of acme/project: .* lacks the role Developer"),
        ("merge_requests/create", FORBIDDEN, "open the merge request of .* lacks the role Developer"),
        ("merge_requests/list", FORBIDDEN, "look for the merge request of .* lacks the role Reporter"),
        ("ci/lint", FORBIDDEN, "check the pipeline of .* lacks the role Reporter"),
    ],
)
def test_a_refusal_is_one_line_that_names_what_is_missing(
    api: GitLabApi, operation: str, refusal: Refusal, line: str
) -> None:
    api.refused[operation] = refusal
    with pytest.raises(Error, match=line) as raised:
        carry_out(api)
    assert "\n" not in str(raised.value)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize(
    ("operation", "line"),
    [
        ("variables/delete", "remove the variable NIX_SIGNING_KEY .* lacks the role Maintainer"),
        ("merge_requests/update", "close the merge request .* lacks the role Developer"),
        ("repository/compare", f"compare the branch {BRANCH} .* lacks the role Reporter"),
        ("branches/delete", f"remove the branch {BRANCH} .* lacks the role Developer"),
    ],
)
def test_what_undo_may_not_is_one_line_as_well(api: GitLabApi, operation: str, line: str) -> None:
    carry_out(api)
    api.refused[operation] = FORBIDDEN
    with pytest.raises(Error, match=line):
        undo(api)


def test_a_pipeline_that_gitlab_does_not_accept_is_not_proposed(api: GitLabApi) -> None:
    project = connected(api)
    step = ProposalStep(project, pipeline_files.proposal(project, CacheSetup(), COMMIT))
    broken = dict.fromkeys(step.proposal.files, "include: [\n")
    with pytest.raises(Error, match=f"does not accept the pipeline on the branch {BRANCH} of acme/project: Invalid"):
        project.propose(type(step.proposal)(title="x", body="", files=broken))
    assert not api.requests


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"default_branch": None}, "acme/project has no commit yet"),
        ({"empty_repo": True}, "acme/project has no commit yet"),
        ({"ci_config_path": "ci.yml@acme/other"}, "is not in the project but at ci.yml@acme/other"),
    ],
)
def test_a_project_that_cannot_be_set_up_is_one_line(api: GitLabApi, settings: dict[str, str], line: str) -> None:
    api.settings |= settings
    with pytest.raises(InputError, match=line):
        connected(api)


def test_a_project_that_is_not_seen_and_a_server_that_is_not_there(api: GitLabApi) -> None:
    api.refused["projects/get"] = Refusal(404, {"message": "404 Project Not Found"})
    with pytest.raises(InputError, match=r"acme/project is not on http://.*, or the token of GITLAB_TOKEN may not see"):
        connected(api)
    api.url = "http://127.0.0.1:9"
    with pytest.raises(Error, match=r"http://127.0.0.1:9 cannot be reached \(Connection refused\)"):
        connected(api)


def test_the_first_of_glabs_variables_counts_and_then_glab_is_asked(api: GitLabApi, tmp_path: Path) -> None:
    glab = tmp_path / "glab"
    host = api.url.removeprefix("http://")
    glab.write_text(f'#!/bin/sh\n[ "$*" = "config get token --host {host}" ] && echo {TOKEN}\n')
    glab.chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    server = {"GITLAB_HOST": host}
    for environ in (path, {"OAUTH_TOKEN": TOKEN}, {"GITLAB_ACCESS_TOKEN": TOKEN, "OAUTH_TOKEN": "other"}):
        assert connected(api, {**server, **environ}).name == NAME
    with pytest.raises(Error, match="refuses the token of GITLAB_TOKEN"):
        connected(api, {**server, "GITLAB_TOKEN": "wrong", **path})


def test_a_server_that_only_the_checkout_names_gets_no_token_of_the_environment(api: GitLabApi) -> None:
    host = api.url.removeprefix("http://")
    wanted = rf"no token for {api.url}: set GITLAB_HOST to {host}, and GITLAB_TOKEN .* `glab auth login --hostname"
    with pytest.raises(InputError, match=wanted):
        connected(api, {"GITLAB_TOKEN": TOKEN, "PATH": "/nonexistent"})


def test_the_subject_of_a_token_is_the_path_and_the_branch(api: GitLabApi) -> None:
    subject = connected(api).subject(("main", "release"))
    assert subject.issuer == api.url.removeprefix("http://")
    assert subject.subjects[1] == "project_path:acme/project:ref_type:branch:ref:release"
    assert subject.repository_id == "", "AWS checks no other claim of GitLab's"
    assert "renamed or moved" in subject.warning
    api.settings["ci_id_token_sub_claim_components"] = ["project_path"]
    with pytest.raises(
        Error, match="have a subject of project_path, where init knows only project_path, ref_type, ref"
    ):
        connected(api).subject(("main",))
