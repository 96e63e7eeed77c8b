"""Keys and signatures."""

import pytest

from nix_autocache import settings
from nix_autocache.errors import InputError
from nix_autocache.nix import keys


def test_a_generated_key_signs_what_its_public_half_verifies() -> None:
    key = keys.generate("cache.example.org-1")
    again = keys.parse_secret(str(key))
    assert again == key
    signature = again.sign(b"1;path")
    assert key.public.verifies(b"1;path", signature)
    assert not key.public.verifies(b"1;other", signature)
    assert not keys.generate("cache.example.org-1").public.verifies(b"1;path", signature)


def test_a_signature_under_another_name_does_not_count() -> None:
    key = keys.generate("a-1")
    assert not key.public.verifies(b"x", key.sign(b"x").replace("a-1:", "b-1:"))


@pytest.mark.parametrize("signature", ["", "a-1", "a-1:", "a-1:%%%", "a-1:AAAA"])
def test_garbage_is_no_signature(signature: str) -> None:
    assert not keys.generate("a-1").public.verifies(b"x", signature)


@pytest.mark.parametrize("text", ["", "AAAA", ":AAAA", "name:", "name:AAAA", "name:%%", "two words:AAAA"])
def test_what_is_no_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InputError) as caught:
        keys.parse_secret(text)
    assert "AAAA" not in str(caught.value)


def test_a_key_is_not_in_its_text_for_debugging() -> None:
    key = keys.generate("a-1")
    assert str(key).partition(":")[2] not in repr(key)


KEY = keys.SecretKey("a-1", bytes(range(64)))  # a fixed one: it is part of the names of tests


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (str(KEY), "is a secret key, which must not be published"),
        (f"{KEY.public},{KEY.public}", "separated by blanks"),
        (f"{KEY.public}, ", "separated by blanks"),
        (f'"{KEY.public}"', "in quotes"),
        ("file:key.pub", "the key itself is needed"),
    ],
)
def test_what_people_give_instead_of_public_keys_is_answered_with_what_they_meant(text: str, advice: str) -> None:
    with pytest.raises(InputError) as caught:
        settings.read({"public-keys": text}, {}, {})
    assert advice in str(caught.value)
    assert str(KEY).partition(":")[2] not in str(caught.value)
