"""Keys and signatures, against a pair and a signature that Nix 2.26.3 made."""

import pytest

from nix_autocache import keys
from nix_autocache.errors import InputError


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


def test_a_key_may_be_elsewhere(tmp_path: object) -> None:
    key = keys.generate("a-1")
    assert keys.read_secret("env:KEY", {"KEY": f"{key}\n"}) == key
    for missing in ("env:NO", "file:/no/such/file"):
        with pytest.raises(InputError, match="signing-key"):
            keys.read_secret(missing, {})
