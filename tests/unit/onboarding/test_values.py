from nix_autocache.onboarding.repository import Repository
from nix_autocache.onboarding.steps import Found, Now
from nix_autocache.onboarding.values import SecretStep, VariableStep
from tests.harness.github_api import GitHub


def test_a_variable_is_made_kept_and_changed(server: GitHub, repository: Repository) -> None:
    step = VariableStep(repository, "NIX_CACHE", "s3://ours")
    assert step.look() == Found(Now.ABSENT)
    step.apply()
    assert step.look() == Found(Now.RIGHT)
    server.variables["NIX_CACHE"] = "s3://another"
    assert step.look() == Found(Now.DIFFERENT, "it is s3://another")
    step.apply()
    assert server.variables == {"NIX_CACHE": "s3://ours"}


def test_a_variable_with_a_value_of_somebody_elses_is_not_removed(server: GitHub, repository: Repository) -> None:
    server.variables["NIX_CACHE"] = "s3://another"
    stays = VariableStep(repository, "NIX_CACHE", "s3://ours").remove()
    assert stays == "its value is not one that init gave it: s3://another"
    assert server.variables == {"NIX_CACHE": "s3://another"}


def test_a_secret_that_is_there_is_kept(server: GitHub, repository: Repository) -> None:
    server.secrets["NIX_SIGNING_KEY"] = "before"
    assert SecretStep(repository, "NIX_SIGNING_KEY", "new").look() == Found(Now.RIGHT, "its value cannot be compared")


def test_a_secret_is_replaced_where_it_is_to_be(server: GitHub, repository: Repository) -> None:
    server.secrets["NIX_SIGNING_KEY"] = "before"
    step = SecretStep(repository, "NIX_SIGNING_KEY", "new", replace=True)
    assert step.look() == Found(Now.DIFFERENT, "it gets a new value")
    step.apply()
    assert server.secrets == {"NIX_SIGNING_KEY": "new"}


def test_a_secret_that_other_workflows_may_use_outlives_undo(server: GitHub, repository: Repository) -> None:
    server.secrets |= {"AWS_ACCESS_KEY_ID": "before", "NIX_SIGNING_KEY": "ours"}
    assert SecretStep(repository, "AWS_ACCESS_KEY_ID", "x").remove().startswith("other workflows may use it;")
    assert SecretStep(repository, "NIX_SIGNING_KEY", "x").remove() == ""
    assert server.secrets == {"AWS_ACCESS_KEY_ID": "before"}


def test_a_secret_is_not_shown(repository: Repository) -> None:
    step = SecretStep(repository, "NIX_SIGNING_KEY", "acme-1:very-secret")
    assert "very-secret" not in f"{step!r} {step.thing} {step.details}"
