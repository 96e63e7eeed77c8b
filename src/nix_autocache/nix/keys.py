"""Nix's ed25519 keys: generate, parse, sign and verify.

A key is written `name:base64`. A secret key has 64 bytes (seed and public half), a public key 32. The signature of a
path covers its fingerprint, see `nix/narinfo.py`. Format: Nix manual, `nix key generate-secret`.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import Protocol

from ..errors import InputError
from ..system.dataclass import dataclass, field
from . import key_text

JOB_PREFIX = "nix-autocache-job-"
CACHE_NIXOS_ORG = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="


class Verifier(Protocol):
    """What tells whether a key made a signature: the public key, or the secret one, which is twice as fast."""

    def verifies(self, fingerprint: bytes, signature: str) -> bool:
        """True if `signature` (`name:base64`) is by this key and over `fingerprint`."""


@dataclass(frozen=True)
class PublicKey:
    name: str
    raw: bytes

    def __str__(self) -> str:
        return f"{self.name}:{base64.b64encode(self.raw).decode()}"

    def verifies(self, fingerprint: bytes, signature: str) -> bool:
        import nacl.bindings
        import nacl.exceptions

        name, _, text = signature.partition(":")
        if name != self.name:
            return False
        try:
            nacl.bindings.crypto_sign_open(base64.b64decode(text, validate=True) + fingerprint, self.raw)
        except (binascii.Error, ValueError, nacl.exceptions.CryptoError):
            return False
        return True


@dataclass(frozen=True)
class SecretKey:
    name: str
    raw: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name}:{base64.b64encode(self.raw).decode()}"

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.name, self.raw[32:])

    def sign(self, fingerprint: bytes) -> str:
        """The signature as in a narinfo, `name:base64`."""
        import nacl.bindings

        signature = nacl.bindings.crypto_sign(fingerprint, self.raw)[: nacl.bindings.crypto_sign_BYTES]
        return f"{self.name}:{base64.b64encode(signature).decode()}"

    def verifies(self, fingerprint: bytes, signature: str) -> bool:
        """Makes the signature again, which has but one form (RFC 8032, 5.1.6), unless another program made another."""
        if signature.partition(":")[0] != self.name:
            return False
        return signature == self.sign(fingerprint) or self.public.verifies(fingerprint, signature)


def load() -> None:
    """Load what verifies and signs, which takes 10 ms. Call it while something else is waited for."""
    import nacl.bindings  # noqa: F401


def generate(name: str) -> SecretKey:
    """A new key. Raises InputError if `name` cannot be the name of a key."""
    import nacl.bindings

    if not name or ":" in name or any(c.isspace() for c in name):
        raise InputError(f"{name!r} cannot be the name of a key; use host name and number, such as cache.example.org-1")
    return SecretKey(name, nacl.bindings.crypto_sign_keypair()[1])


def generate_job_key() -> SecretKey:
    """A key for one job, never written to disk. Its name is unique: Nix keeps only one key for each name."""
    return generate(f"{JOB_PREFIX}{os.urandom(8).hex()}")


def parse_secret(text: str, *, name: str = "signing-key") -> SecretKey:
    """Parse `name:base64`. Raises InputError naming input `name`."""
    key_name, raw = key_text.parse(text, name, expected=64)
    return SecretKey(key_name, raw)


def parse_public(text: str, *, name: str = "public-keys") -> PublicKey:
    """Parse `name:base64`. Raises InputError naming input `name`."""
    key_name, raw = key_text.parse(text, name, expected=32)
    return PublicKey(key_name, raw)


def parse_public_keys(text: str, name: str) -> tuple[PublicKey, ...]:
    """Keys separated by blanks. Raises InputError."""
    return tuple(parse_public(word, name=name) for word in text.split())


def parse_upstream_keys(text: str, name: str) -> tuple[PublicKey, ...]:
    """As `parse_public_keys`; the name alone will do for the key of cache.nixos.org."""
    return tuple(_upstream(word, name) for word in text.split())


def _upstream(word: str, name: str) -> PublicKey:
    if word == CACHE_NIXOS_ORG.partition(":")[0]:
        word = CACHE_NIXOS_ORG
    if ":" not in word:
        if re.search("[,;\"']", word):
            raise InputError(f"{name}: {word!r} is no name of a key; names are separated by blanks, no quotes")
        raise InputError(
            f"{name}: the key of {word!r} is not known, and anybody can add a signature of that name to a path; "
            f"write the whole public key, `{word}:…`"
        )
    return parse_public(word, name=name)
