from collections.abc import Callable, Iterator, Sequence

import pytest

from nix_autocache.errors import Error
from nix_autocache.onboarding import steps
from nix_autocache.onboarding.github.repository import connect
from nix_autocache.onboarding.proposal_step import ProposalStep
from nix_autocache.onboarding.repository import Proposal, Repository
from nix_autocache.onboarding.steps import Now, Step
from nix_autocache.onboarding.terminal import PlainTerminal
from nix_autocache.onboarding.values import SecretStep, VariableStep
from tests.harness import github_api
from tests.harness.github_api import GitHub

FILES = {
    "flake.nix": "{ }",
    "src/main.c": "int main;",
    ".github/workflows/ci.yml": "on: push\n",
    ".github/workflows/README": "",
}
PROPOSAL = Proposal(
    title="Cache what Nix builds",
    body="Why, and what each file is for.",
    files={".github/workflows/nix-cache.yml": "on: [push]\n", ".github/workflows/ci.yml": "on: pull_request\n"},
)


@pytest.fixture
def server() -> Iterator[GitHub]:
    with github_api.in_thread(FILES) as made:
        yield made


def connected(server: GitHub) -> Repository:
    return connect(server.url, server.name, {"GH_ENTERPRISE_TOKEN": server.token})


def all_steps(server: GitHub) -> Sequence[Step]:
    """Of an `init` with a key of its own."""
    repository = connected(server)
    return (
        VariableStep(repository, "NIX_CACHE", "s3://bucket?region=eu-west-1"),
        VariableStep(repository, "NIX_CACHE_PUBLIC_KEYS", "acme-1:public"),
        SecretStep(repository, "NIX_SIGNING_KEY", "acme-1:secret"),
        ProposalStep(repository, PROPOSAL),
    )


def initialise(server: GitHub) -> None:
    steps.carry_out(all_steps(server), PlainTerminal())


def undo(server: GitHub) -> None:
    steps.undo(all_steps(server), PlainTerminal())


def seen(server: GitHub) -> object:
    """What a user sees of the repository, but for the pull requests that are closed."""
    variables, secrets, branches, pulls = server.state()
    return variables, secrets, branches, [pull for pull in pulls if pull["state"] == "open"]


def test_the_files_that_matter_are_seen(server: GitHub) -> None:
    repository = connected(server)
    assert repository.names() == {"flake.nix", ".github/workflows/ci.yml", ".github/workflows/README"}
    assert repository.read("flake.nix") == "{ }"
    assert repository.read("default.nix") is None
    assert repository.read("src") is None, "a directory is no file"
    assert (repository.name, repository.default_branch, repository.is_public) == ("acme/project", "main", False)


def test_a_repository_without_workflows_has_its_other_files() -> None:
    with github_api.in_thread({"flake.nix": "{ }"}) as server:
        assert connected(server).names() == {"flake.nix"}


def test_a_repository_without_a_commit_is_refused() -> None:
    with github_api.in_thread({}) as server, pytest.raises(Error, match="acme/project has no commit yet; push one"):
        connected(server).names()


def test_a_secret_is_sealed_and_arrives_whole(server: GitHub) -> None:
    value = "acme-1:" + "ä+/=" * 20 + "\n"
    connected(server).set_secret("NIX_SIGNING_KEY", value)
    assert server.secrets == {"NIX_SIGNING_KEY": value}
    assert "acme-1" not in repr(server.requests)


def test_everything_is_there_after_init(server: GitHub) -> None:
    initialise(server)
    assert server.variables == {"NIX_CACHE": "s3://bucket?region=eu-west-1", "NIX_CACHE_PUBLIC_KEYS": "acme-1:public"}
    assert server.secrets == {"NIX_SIGNING_KEY": "acme-1:secret"}
    assert server.git.files("main") == FILES
    assert server.git.files("nix-autocache") == {**FILES, **PROPOSAL.files}
    (pull,) = server.pulls
    assert (pull["title"], pull["body"], pull["base"]) == (PROPOSAL.title, PROPOSAL.body, "main")


def test_a_second_run_writes_nothing(server: GitHub) -> None:
    initialise(server)
    server.requests.clear()
    initialise(server)
    assert server.requests
    assert server.writes == []


def test_a_plan_writes_nothing(server: GitHub) -> None:
    assert steps.plan(all_steps(server), PlainTerminal())
    assert server.writes == []


def test_what_others_changed_is_put_right(server: GitHub) -> None:
    initialise(server)
    server.variables["NIX_CACHE"] = "s3://another"
    assert [step.look().now for step in all_steps(server)] == [Now.DIFFERENT, Now.RIGHT, Now.RIGHT, Now.RIGHT]
    initialise(server)
    assert server.variables["NIX_CACHE"] == "s3://bucket?region=eu-west-1"


def test_undo_leaves_the_repository_as_it_was(server: GitHub) -> None:
    server.variables["OTHER"] = "a person's"
    server.secrets["OTHER"] = "a person's"
    before = seen(server)
    initialise(server)
    undo(server)
    assert seen(server) == before
    server.requests.clear()
    undo(server)
    assert server.writes == []


@pytest.mark.slow
@pytest.mark.parametrize("loses_answer", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("run", [initialise, undo])
def test_a_run_that_was_killed_at_any_request_is_finished_by_the_next(
    run: Callable[[GitHub], None], loses_answer: bool
) -> None:
    """`after`: the request is carried out, and its answer never comes."""
    with github_api.in_thread(FILES) as whole:
        if run is undo:
            initialise(whole)
            whole.requests.clear()
        run(whole)
    assert len(whole.requests) > 10
    for lives in range(1 if loses_answer else 0, len(whole.requests)):
        with github_api.in_thread(FILES) as server:
            if run is undo:
                initialise(server)
            server.lives, server.loses_answer = len(server.requests) + lives, loses_answer
            with pytest.raises(Error, match=r"cannot be reached: .* it goes on where it stopped"):
                run(server)
            server.lives, server.loses_answer = None, False
            run(server)
            assert seen(server) == seen(whole), f"killed at {lives}"


def test_the_subject_is_what_github_says(server: GitHub) -> None:
    subject = connected(server).subject(("main", "release/1"))
    assert subject.subjects == (
        "repo:acme@123456/project@456789:ref:refs/heads/main",
        "repo:acme@123456/project@456789:ref:refs/heads/release/1",
    )
    assert subject.issuer == f"{server.url.removeprefix('http://')}/_services/token"
    assert (subject.audience, subject.warning) == ("sts.amazonaws.com", "")
    assert subject.repository_id == "", "AWS knows the claim of github.com only"


def test_without_branches_the_default_branch_may_push(server: GitHub) -> None:
    assert connected(server).subject(()).subjects == ("repo:acme@123456/project@456789:ref:refs/heads/main",)


@pytest.mark.parametrize(
    "said",
    [
        {"use_default": True, "use_immutable_subject": False, "sub_claim_prefix": "repo:acme/project"},
        {"use_default": True},  # a server that is older than immutable subjects
    ],
    ids=["old format", "old server"],
)
def test_the_old_format_of_subjects_comes_with_a_warning(server: GitHub, said: dict[str, object]) -> None:
    server.subjects = said
    subject = connected(server).subject(("main",))
    assert subject.subjects == ("repo:acme/project:ref:refs/heads/main",)
    assert "to rename or transfer acme/project changes it" in subject.warning


def test_a_template_of_subjects_is_refused_with_what_it_is(server: GitHub) -> None:
    claims = ["repository_owner", "context"]
    server.subjects |= {"use_default": False, "include_claim_keys": claims, "sub_claim_prefix": "repository_owner:acme"}
    with pytest.raises(Error, match=r"template .*\(repository_owner, context\), and a prefix repository_owner:acme;"):
        connected(server).subject(("main",))
