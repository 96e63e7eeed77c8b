"""`init --rotate`: a throwaway cache, whose past periods the bucket removes by itself, and nothing else."""

import json

import pytest

from nix_autocache.errors import InputError
from nix_autocache.onboarding.steps import Now
from tests.harness.aws_person import BUCKET, CACHE, ROLE_NAME, Person

WEEKLY = CACHE.replace("?", "/ci/{week}?")


def test_a_throwaway_cache_gets_its_rule_and_jobs_the_right_to_each_period(person: Person) -> None:
    planned = person.init(cache=CACHE.replace("?", "/ci?"), rotate="week")
    assert planned.setup.cache == WEEKLY == person.repository.variables["NIX_CACHE"]
    state = person.state()
    (rule,) = [rule for rule in state["bucket"]["rules"] if "Expiration" in rule]
    assert (rule["Filter"], rule["Expiration"]["Days"]) == ({"Prefix": "ci/20"}, 21)
    assert f"{BUCKET}/ci/*/*" in json.dumps(state["roles"][ROLE_NAME]["policies"])
    assert {step.look().now for step in person.plan(cache=None).steps} == {Now.RIGHT}
    person.undo(cache=None)
    assert not person.state()["bucket"]


def test_another_period_replaces_the_rule(person: Person) -> None:
    person.init(rotate="week")
    person.init(rotate="month")
    rules = {rule["ID"]: rule for rule in person.state()["bucket"]["rules"]}
    assert len(rules) == 2
    assert rules["nix-autocache-past-periods"]["Expiration"]["Days"] == 70
    assert person.repository.variables["NIX_CACHE"] == CACHE.replace("?", "/{month}?")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"rotate": "day"}, "is neither week nor month"),
        ({"rotate": "month", "cache": WEEKLY}, "has another period"),
        ({"rotate": "week", "cache": None}, "--rotate: the CI host.s own cache has no key and no access; give --cache"),
    ],
)
def test_what_cannot_rotate_is_refused(person: Person, flags: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        person.plan(**flags)
