"""The signing key in AWS's Parameter Store: made once, kept, replaced beside the old one."""

from typing import Any, cast

import pytest

from nix_autocache.errors import Error, InputError
from nix_autocache.nix import keys
from nix_autocache.onboarding.aws.key_parameter import Parameter
from nix_autocache.onboarding.steps import Step
from tests.harness.aws_person import BUCKET, PARAMETER, Person


def stop_after(person: Person, count: int, **flags: object) -> None:
    """Carry out only the first steps that have to do with the key, as a kill would leave it."""
    about_key = [step for step in person.plan(**flags).steps if is_about_key(step)]
    for step in about_key[:count]:
        step.apply()


def is_about_key(step: Step) -> bool:
    return "signing key" in step.thing or "NIX_CACHE_PUBLIC_KEYS" in step.thing


@pytest.mark.slow
def test_a_new_key_stands_beside_the_old_one(person: Person) -> None:
    person.init()
    old = person.key()
    planned = person.init(rotate_key=True)
    new = person.key()
    assert (old.name, new.name) == ("acme-project-1", "acme-project-2")
    assert person.repository.variables["NIX_CACHE_PUBLIC_KEYS"] == f"{new.public} {old.public}"
    assert planned.setup.public_keys == (str(new.public), str(old.public))
    note = planned.notes[-1]
    assert note.startswith("acme-project-1 stays trusted")
    command = f"nix-autocache sign --cache 's3://{BUCKET}?region=eu-west-1' --signing-key aws-ssm:{PARAMETER} "
    assert f"{command}--old-key {old.public}`" in note

    person.init()
    assert person.key() == new, "without the flag it stays"
    person.init(rotate_key=True)
    assert person.trusted() == ["acme-project-3", "acme-project-2", "acme-project-1"]


def test_the_new_key_is_trusted_before_it_signs(person: Person) -> None:
    person.init()
    for count in (1, 2):
        stop_after(person, count, rotate_key=True)
        assert person.key().name in person.trusted()
        assert "acme-project-1" in person.trusted()


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("again", [True, False], ids=["with the flag", "without"])
def test_a_rotation_that_was_killed_is_finished_or_begun_anew(person: Person, count: int, again: bool) -> None:
    person.init()
    stop_after(person, count, rotate_key=True)
    person.init(rotate_key=again)
    names = person.trusted()
    assert person.key().name == names[0]
    assert "acme-project-1" in names
    if again:
        assert names == ["acme-project-2", "acme-project-1"]


def test_a_key_that_was_removed_from_the_variable_stays_removed(person: Person) -> None:
    person.init()
    person.init(rotate_key=True)
    person.repository.variables["NIX_CACHE_PUBLIC_KEYS"] = str(person.key().public)
    person.init()
    assert person.trusted() == ["acme-project-2"]


def test_old_keys_are_known_without_the_variable(person: Person) -> None:
    person.init()
    person.init(rotate_key=True)
    trusted = person.repository.variables.pop("NIX_CACHE_PUBLIC_KEYS")
    person.init()
    assert person.repository.variables["NIX_CACHE_PUBLIC_KEYS"] == trusted


def test_an_empty_page_is_not_the_last_one() -> None:
    """AWS may return none of what it found, and where to go on; moto never does."""
    old = keys.generate("k-1").public

    class Service:
        def ask(self, _: str, **parameters: object) -> object:
            if "NextToken" not in parameters:
                return {"Parameters": [], "NextToken": "2"}
            return {"Parameters": [{"Description": f"Signs. Still trusted: {old}"}]}

    assert Parameter(cast("Any", Service()), PARAMETER, "acme/project").old_keys() == (old,)


def test_keys_of_the_user_stay_trusted(person: Person) -> None:
    theirs = str(keys.generate("cache.example.org-1").public)
    person.repository.variables["NIX_CACHE_PUBLIC_KEYS"] = theirs
    person.init()
    person.init(rotate_key=True)
    assert person.trusted() == ["acme-project-2", "acme-project-1", "cache.example.org-1"]


def test_a_name_is_used_once(person: Person) -> None:
    """Nix keeps one key for each name: what the old one has signed would no longer be trusted."""
    person.init(key_name="cache.example.org-1")
    person.client("ssm").delete_parameter(Name=PARAMETER)
    person.init(key_name="cache.example.org-1")
    assert person.trusted() == ["cache.example.org-2", "cache.example.org-1"]


def test_a_parameter_that_holds_something_else(person: Person) -> None:
    person.client("ssm").put_parameter(Name=PARAMETER, Value="password", Type="SecureString")
    with pytest.raises(InputError, match=f"aws-ssm:{PARAMETER}") as caught:
        person.plan()
    assert "password" not in str(caught.value)


def test_a_key_that_somebody_else_made_meanwhile_is_not_replaced(person: Person) -> None:
    planned = person.plan()
    theirs = keys.generate("theirs-1")
    person.client("ssm").put_parameter(Name=PARAMETER, Value=str(theirs), Type="SecureString")
    stored = next(step for step in planned.steps if "signing key" in step.thing)
    for attempt in (stored.look, stored.apply):
        with pytest.raises(Error, match="was changed by somebody else meanwhile; run init again"):
            attempt()
    assert person.key() == theirs


def test_a_parameter_of_the_users_choice(person: Person) -> None:
    planned = person.init(key_in="aws-ssm:/team/key")
    assert planned.setup.key_source == "aws-ssm:/team/key"
    policy = person.state()["roles"]["nix-cache-acme-project"]["policies"]["nix-cache"]
    assert policy["Statement"][-1]["Resource"] == "arn:aws:ssm:eu-west-1:123456789012:parameter/team/key"
    with pytest.raises(InputError, match="give the parameter's name"):
        person.plan(key_in="aws-ssm:arn:aws:ssm:eu-west-1:123456789012:parameter/team/key")


def test_the_key_may_be_a_secret_of_the_repository(person: Person) -> None:
    planned = person.init(key_in="secret")
    assert planned.setup.key_source == ""
    secret = keys.parse_secret(person.repository.secrets["NIX_SIGNING_KEY"])
    assert person.repository.variables["NIX_CACHE_PUBLIC_KEYS"] == str(secret.public)
    policy = person.state()["roles"]["nix-cache-acme-project"]["policies"]["nix-cache"]
    assert not any("ssm" in action for each in policy["Statement"] for action in each["Action"])
