"""The signing key as a secret of the repository, which cannot be read again."""

from typing import cast

import pytest

from nix_autocache.errors import InputError
from nix_autocache.nix import keys
from nix_autocache.nix.keys import SecretKey
from nix_autocache.onboarding import key_secret, key_steps, steps
from nix_autocache.onboarding.repository import Repository
from nix_autocache.onboarding.signing_keys import KeyPlan
from nix_autocache.onboarding.steps import Now, Step
from nix_autocache.onboarding.terminal import PlainTerminal
from tests.harness.memory_repository import MemoryRepository, options

KEYS, SECRET = "NIX_CACHE_PUBLIC_KEYS", "NIX_SIGNING_KEY"


def planned(one: MemoryRepository, **flags: object) -> tuple[KeyPlan, tuple[Step, ...]]:
    given = options(**flags)
    repository = cast("Repository", one)
    plan = key_secret.plan(repository, given.key_name or "acme-project-1", key_steps.known(repository), given)
    return plan, key_steps.of_secret(repository, plan)


def run(one: MemoryRepository, **flags: object) -> KeyPlan:
    plan, made = planned(one, **flags)
    steps.carry_out(made, PlainTerminal())
    return plan


def signing(one: MemoryRepository) -> SecretKey:
    return keys.parse_secret(one.secrets[SECRET])


def test_it_is_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    one = MemoryRepository()
    run(one)
    key = signing(one)
    assert one.variables[KEYS] == str(key.public)
    run(one)
    assert signing(one) == key
    assert {step.look().now for step in planned(one)[1]} == {Now.RIGHT}
    assert str(key).partition(":")[2] not in capsys.readouterr().out


def test_a_secret_without_its_variable_stops_init() -> None:
    one = MemoryRepository(secrets={SECRET: "unknown"})
    with pytest.raises(InputError, match=r"no variable NIX_CACHE_PUBLIC_KEYS says what its public key is.*--new-key"):
        planned(one)
    run(one, new_key=True)
    assert one.variables[KEYS] == str(signing(one).public)


def test_a_new_key_stands_beside_the_old_one() -> None:
    one = MemoryRepository()
    run(one)
    old = signing(one)
    plan = run(one, rotate_key=True)
    new = signing(one)
    assert new.name == "acme-project-2"
    assert one.variables[KEYS] == f"{new.public} {old.public}"
    assert "acme-project-1 stays trusted" in plan.notes[0]
    assert "--signing-key env:NIX_SIGNING_KEY" in plan.notes[0]
    assert "in a job, since only jobs get the secret" in plan.notes[0]


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("first", [True, False], ids=["a first key", "a rotation"])
def test_whatever_signs_after_a_kill_is_trusted(first: bool, count: int) -> None:
    one = MemoryRepository()
    if not first:
        run(one)
    for step in planned(one, rotate_key=not first)[1][:count]:
        step.apply()
    if SECRET in one.secrets:
        assert str(signing(one).public) in one.variables[KEYS].split()
    plan = run(one)
    assert str(signing(one).public) in one.variables[KEYS].split()
    assert bool(plan.notes) == (not first and count in {1, 2}), "an interrupted rotation is said"
    run(one, rotate_key=True)
    assert one.variables[KEYS].split()[0] == str(signing(one).public)
    assert not planned(one)[0].notes


def test_undo_needs_no_public_key() -> None:
    one = MemoryRepository(secrets={SECRET: "unknown"})
    steps.undo(planned(one, undo=True)[1], PlainTerminal())
    assert (one.secrets, one.variables) == ({}, {})


@pytest.mark.parametrize("count", [0, 1, 2])
def test_an_undo_that_was_killed_is_finished_by_the_next(count: int) -> None:
    one = MemoryRepository()
    run(one)
    for step in list(reversed(planned(one, undo=True)[1]))[:count]:
        step.remove()
    steps.undo(planned(one, undo=True)[1], PlainTerminal())
    assert (one.secrets, one.variables) == ({}, {})


def test_a_variable_that_holds_no_keys_is_one_line() -> None:
    with pytest.raises(InputError, match="the variable NIX_CACHE_PUBLIC_KEYS"):
        planned(MemoryRepository(variables={KEYS: "nonsense"}))
