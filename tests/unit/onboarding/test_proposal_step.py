from nix_autocache.onboarding.github.repository import connect
from nix_autocache.onboarding.proposal_step import ProposalStep
from nix_autocache.onboarding.repository import BRANCH, Proposal, Repository
from nix_autocache.onboarding.steps import Found, Now
from nix_autocache.system.dataclass import replace
from tests.harness.github_api import GitHub

WORKFLOW = ".github/workflows/nix-cache.yml"
PROPOSAL = Proposal(title="Cache what Nix builds", body="Why.", files={WORKFLOW: "on: push\n", "ci.nix": "{ }"})
CHANGED = replace(PROPOSAL, files={WORKFLOW: "on: [push]\n", "ci.nix": "{ }"})


def looked(repository: Repository, proposal: Proposal = PROPOSAL) -> Found:
    return ProposalStep(repository, proposal).look()


def test_a_step_that_was_never_done_is_absent(repository: Repository) -> None:
    assert looked(repository) == Found(Now.ABSENT)


def test_the_plan_names_the_files_that_would_change(repository: Repository) -> None:
    proposal = replace(PROPOSAL, files={**PROPOSAL.files, "flake.nix": "changed"})
    assert looked(repository, proposal) == Found(Now.ABSENT, "it changes flake.nix")


def test_an_open_pull_request_is_right_if_it_has_the_files(repository: Repository) -> None:
    address = repository.propose(PROPOSAL)
    assert looked(repository) == Found(Now.RIGHT, f"{address} is open")
    assert looked(repository, CHANGED) == Found(Now.DIFFERENT, f"{address} has other contents of {WORKFLOW}")


def test_what_was_merged_is_right_and_stays_when_all_is_undone(server: GitHub, repository: Repository) -> None:
    step = ProposalStep(repository, PROPOSAL)
    step.apply()
    server.merge()
    assert step.look() == Found(Now.RIGHT, "main has the files already")
    assert step.remove() == f"main has {WORKFLOW}, ci.nix; remove it there with a commit of your own"
    assert BRANCH not in server.git.branches


def test_what_another_version_has_written_is_not_said_to_be_removed(server: GitHub, repository: Repository) -> None:
    """Its jobs would look for variables that are gone."""
    files = {WORKFLOW: "uses: nix-autocache/nix-autocache@1", ".github/workflows/ci.yml": "uses: nix-autocache/x@1"}
    server.git.push({**files, ".github/workflows/other.yml": "on: push"})
    assert ProposalStep(repository, PROPOSAL).remove() == (
        f"main has .github/workflows/ci.yml, {WORKFLOW}; remove it there with a commit of your own"
    )


def test_a_scope_that_the_token_lacks_is_in_the_plan(server: GitHub) -> None:
    """Before a bucket or a role is made that nothing will use yet."""
    server.token, server.scopes = "gho_of-gh", "repo, read:org"
    step = ProposalStep(connect(server.url, server.name, {"GH_ENTERPRISE_TOKEN": server.token}), PROPOSAL)
    why = step.look().why
    assert why.startswith("the token of GH_ENTERPRISE_TOKEN lacks the scope workflow, or ")
    server.scopes = "repo, workflow"
    step = ProposalStep(connect(server.url, server.name, {"GH_ENTERPRISE_TOKEN": server.token}), PROPOSAL)
    assert step.look() == Found(Now.ABSENT)


def test_of_a_fine_grained_token_nothing_is_known_before(server: GitHub) -> None:
    server.token = "github_pat_fine"
    repository = connect(server.url, server.name, {"GH_ENTERPRISE_TOKEN": server.token})
    assert ProposalStep(repository, PROPOSAL).look() == Found(Now.ABSENT)
