"""Flags of `init` that would make something else than the user means."""

import pytest

from nix_autocache.errors import InputError
from nix_autocache.nix import keys
from tests.harness.memory_repository import options


@pytest.mark.parametrize("branch", ["release/*", "", " ", "a..b", "-x", "a:b", "refs/heads/", "x/", "[ab]", "a\nb"])
def test_a_branch_is_the_name_of_one(branch: str) -> None:
    """A role trusts what is named, letter by letter: no job would get into it."""
    with pytest.raises(InputError, match=r"^--branch: .* is not the name of one branch; give the flag for each"):
        options(branch=[branch])


def test_a_branch_may_be_given_as_its_ref_and_in_any_script() -> None:
    assert options(branch=["refs/heads/main", "wörk/+1"]).branches == ("main", "wörk/+1")


@pytest.mark.parametrize("name", ["a,b", "'a'", "a:b", "a b", "/a"])
def test_a_key_of_this_name_could_not_be_read_again(name: str) -> None:
    with pytest.raises(InputError, match=r"^--key-name: "):
        options(key_name=name)


@pytest.mark.parametrize("name", ["cache.example.org-1", "a_b+c-2"])
def test_a_key_of_this_name_can_be_read_again(name: str) -> None:
    key = keys.generate(options(key_name=name).key_name)
    assert keys.parse_secret(str(key)) == key
