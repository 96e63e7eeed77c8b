"""Keys and signatures."""

import base64
import hashlib

import nacl.bindings as sodium
import pytest

from nix_autocache import settings
from nix_autocache.errors import InputError
from nix_autocache.nix import keys

MINE, THEIRS = keys.generate("a-1"), keys.generate("a-1")


def test_a_generated_key_is_read_as_it_was_written() -> None:
    assert keys.parse_secret(str(MINE)) == MINE
    assert keys.parse_public(str(MINE.public)) == MINE.public


@pytest.mark.parametrize("verifier", [MINE, MINE.public], ids=["secret", "public"])
class TestVerifier:
    """The secret key makes the signature again, and says the same as the public one."""

    def test_a_key_verifies_what_it_signed(self, verifier: keys.Verifier) -> None:
        assert verifier.verifies(b"1;path", MINE.sign(b"1;path"))
        assert not verifier.verifies(b"1;other", MINE.sign(b"1;path"))
        assert not verifier.verifies(b"1;path", THEIRS.sign(b"1;path"))

    def test_a_signature_under_another_name_does_not_count(self, verifier: keys.Verifier) -> None:
        assert not verifier.verifies(b"x", MINE.sign(b"x").replace("a-1:", "b-1:"))

    def test_a_signature_with_another_nonce_is_as_good(self, verifier: keys.Verifier) -> None:
        signature = sign_with_another_nonce(MINE, b"x")
        assert signature != MINE.sign(b"x")
        assert verifier.verifies(b"x", signature)
        assert not verifier.verifies(b"y", signature)

    @pytest.mark.parametrize("signature", ["", "a-1", "a-1:", "a-1:%%%", "a-1:AAAA"])
    def test_garbage_is_no_signature(self, verifier: keys.Verifier, signature: str) -> None:
        assert not verifier.verifies(b"x", signature)


def sign_with_another_nonce(key: keys.SecretKey, text: bytes) -> str:
    """As a program that does not follow RFC 8032 in this: the nonce is at will, and the signature is valid."""
    scalar = bytearray(hashlib.sha512(key.raw[:32]).digest()[:32])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 63 | 64
    secret = sodium.crypto_core_ed25519_scalar_reduce(bytes(scalar).ljust(64, b"\0"))
    nonce = sodium.crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"a nonce").digest())
    commitment = sodium.crypto_scalarmult_ed25519_base_noclamp(nonce)
    challenge = sodium.crypto_core_ed25519_scalar_reduce(hashlib.sha512(commitment + key.raw[32:] + text).digest())
    answer = sodium.crypto_core_ed25519_scalar_add(nonce, sodium.crypto_core_ed25519_scalar_mul(challenge, secret))
    return f"{key.name}:{base64.b64encode(commitment + answer).decode()}"


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
