"""Which cache `init` is about: that of the flags, or that of an earlier run."""

import pytest

from nix_autocache.errors import InputError
from nix_autocache.onboarding.cache_setup import CacheSetup
from nix_autocache.onboarding.storage import Storage, plan_storage
from tests.harness.aws_person import CACHE, Person
from tests.harness.memory_repository import MemoryRepository, request


@pytest.mark.slow
def test_the_cache_need_not_be_repeated(person: Person) -> None:
    before = person.state()
    person.init()
    assert person.init(cache=None, rotate_key=True).setup.cache == CACHE
    assert person.key().name == "acme-project-2"
    person.undo(cache=None)
    assert person.state() == before


@pytest.mark.parametrize("variables", [{}, {"NIX_CACHE": "https://cache.example.org"}])
def test_the_hosts_own_cache_needs_no_step(variables: dict[str, str]) -> None:
    """A variable that is not of `init` is not its business."""
    assert plan_storage(request(MemoryRepository(variables=variables), {})) == Storage(setup=CacheSetup())


def test_the_branches_count_for_the_hosts_own_cache_too() -> None:
    assert plan_storage(request(MemoryRepository(), {}, branch=["main", "next"])).setup.branches == ("main", "next")


@pytest.mark.parametrize(
    "flags", [{"rotate_key": True}, {"new_key": True}, {"public": True}, {"key_name": "k-1"}, {"key_in": "secret"}]
)
def test_what_only_a_cache_of_ones_own_has_is_not_ignored(flags: dict[str, object]) -> None:
    """Who asks for a new key must not believe that there is one."""
    with pytest.raises(
        InputError, match=r"^--[a-z-]+: the CI host's own cache has no key and no access; give --cache$"
    ):
        plan_storage(request(MemoryRepository(), {}, **flags))


def test_other_caches_are_set_up_by_hand() -> None:
    with pytest.raises(InputError, match=r"--cache: init sets up s3:// and gs://.* for https:// set `cache`"):
        plan_storage(request(MemoryRepository(), {}, cache="https://cache.example.org"))
