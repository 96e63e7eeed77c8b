import pytest

from nix_autocache.errors import Error
from nix_autocache.onboarding.lead import MARK
from nix_autocache.onboarding.repository import BRANCH, Proposal, Repository
from nix_autocache.system.dataclass import replace
from tests.harness.github_api import GitHub, Refusal

WORKFLOW = ".github/workflows/nix-cache.yml"
PROPOSAL = Proposal(title="Cache what Nix builds", body="Why.", files={WORKFLOW: "on: push\n", "ci.nix": "{ }"})
CHANGED = replace(PROPOSAL, body="Another why.", files={WORKFLOW: "on: [push]\n", "ci.nix": "{ }"})


def test_all_files_come_in_one_commit_on_the_default_branch(server: GitHub, repository: Repository) -> None:
    address = repository.propose(PROPOSAL)
    assert address == repository.proposal() == f"{server.url}/acme/project/pull/1"
    line = server.git.line(server.git.branches[BRANCH])
    assert line[1:] == [server.git.branches["main"]]
    assert server.git.commits[line[0]].message == f"{PROPOSAL.title}\n\n{MARK}\n"


def test_the_open_pull_request_gets_what_is_new(server: GitHub, repository: Repository) -> None:
    address = repository.propose(PROPOSAL)
    server.git.push({"README": "a person's"}, BRANCH)
    assert repository.propose(CHANGED) == address
    assert server.git.files(BRANCH) == {"flake.nix": "{ }", "README": "a person's", **CHANGED.files}
    assert [(pull["title"], pull["body"]) for pull in server.pulls] == [(CHANGED.title, CHANGED.body)]
    assert len(server.git.line(server.git.branches[BRANCH])) == 4, "what was there before is still in its history"


def test_a_branch_that_a_merge_left_there_begins_anew(server: GitHub, repository: Repository) -> None:
    repository.propose(PROPOSAL)
    server.merge()
    server.git.push({"flake.nix": "{ outputs = _: { }; }"})
    assert repository.propose(CHANGED).endswith("/pull/2")
    assert server.git.files(BRANCH) == {"flake.nix": "{ outputs = _: { }; }", **CHANGED.files}
    assert server.git.line(server.git.branches[BRANCH])[1] == server.git.branches["main"]


@pytest.mark.parametrize("is_open", [False, True], ids=["branch", "pull request"])
def test_a_branch_of_somebody_else_is_left_alone(server: GitHub, repository: Repository, is_open: bool) -> None:
    server.git.push({"work": "of weeks"}, BRANCH)
    if is_open:
        server.pulls.append({"number": 1, "state": "open", "head": BRANCH, "base": "main", "title": "", "body": ""})
    with pytest.raises(Error, match=r"^acme/project: its branch nix-autocache has commits that init did not make;"):
        repository.propose(PROPOSAL)
    assert "commits that init did not make" in repository.withdraw()
    assert server.writes == []


def test_a_branch_of_ours_with_somebody_elses_commits_is_not_thrown_away(
    server: GitHub, repository: Repository
) -> None:
    repository.propose(PROPOSAL)
    server.git.push({"work": "of weeks"}, BRANCH)
    server.pulls[0]["state"] = "closed"
    server.requests.clear()
    with pytest.raises(Error, match="commits that init did not make"):
        repository.propose(CHANGED)
    assert "commits that init did not make" in repository.withdraw()
    assert server.writes == []


def test_withdrawing_closes_the_pull_request_and_removes_the_branch(server: GitHub, repository: Repository) -> None:
    repository.propose(PROPOSAL)
    assert repository.withdraw() == ""
    assert [pull["state"] for pull in server.pulls] == ["closed"]
    assert set(server.git.branches) == {"main"}
    assert repository.withdraw() == ""


def test_a_token_without_the_scope_workflow_is_told_before_a_branch_is_made(
    server: GitHub, repository: Repository
) -> None:
    server.scopes = "repo"
    with pytest.raises(Error, match=r"cannot write \.github/workflows/nix-cache\.yml, ci\.nix: .* the scope workflow"):
        repository.propose(PROPOSAL)
    assert set(server.git.branches) == {"main"}


def test_rules_of_the_repository_are_said_in_githubs_words(server: GitHub, repository: Repository) -> None:
    server.refusals["git/create-ref"] = Refusal(422, "Repository rule violations found\n\nCannot create ref")
    with pytest.raises(Error, match=r"^acme/project: cannot write .* answered 422: Repository rule violations found$"):
        repository.propose(PROPOSAL)
