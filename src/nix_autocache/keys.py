"""Nix's ed25519 signing keys: `name:base64` text, made, parsed and used.

A secret key is 64 bytes (seed and public half), a public key 32. The signature of a path is over its
fingerprint, see `uploader/narinfo.py`. Format: Nix manual, `nix key generate-secret`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import InputError

_IN_AWS = ("aws-ssm", "aws-secretsmanager")
CACHE_NIXOS_ORG = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="


@dataclass(frozen=True)
class PublicKey:
    name: str
    raw: bytes

    def __str__(self) -> str:
        return f"{self.name}:{base64.b64encode(self.raw).decode()}"

    def verifies(self, fingerprint: bytes, signature: str) -> bool:
        """Whether `signature` (`name:base64`) is this key's over `fingerprint`."""
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
        """The signature as a narinfo carries it, `name:base64`."""
        import nacl.bindings

        signature = nacl.bindings.crypto_sign(fingerprint, self.raw)[: nacl.bindings.crypto_sign_BYTES]
        return f"{self.name}:{base64.b64encode(signature).decode()}"


def generate(name: str) -> SecretKey:
    """A new key. Raises InputError when `name` cannot be a key's name."""
    import nacl.bindings

    if not name or ":" in name or any(c.isspace() for c in name):
        raise InputError(f"{name!r} cannot be a key's name; take host name and number, as in cache.example.org-1")
    return SecretKey(name, nacl.bindings.crypto_sign_keypair()[1])


def parse_secret(text: str, *, name: str = "signing-key") -> SecretKey:
    """Parse `name:base64`. Raises InputError, which names input `name` and never repeats the key."""
    key_name, raw = _split(text, name, expected=64)
    return SecretKey(key_name, raw)


def parse_public(text: str, *, name: str = "public-keys") -> PublicKey:
    """Parse `name:base64`. Raises InputError naming input `name`."""
    key_name, raw = _split(text, name, expected=32)
    return PublicKey(key_name, raw)


def is_in_aws(source: str) -> bool:
    """Whether the input `signing-key` is not a key but where in AWS there is one: only the uploader reads that."""
    kind, _, place = source.partition(":")
    return kind in _IN_AWS and bool(place)


def read_secret(source: str, environ: Mapping[str, str]) -> SecretKey:
    """The key that input `signing-key` gives: itself, or `file:PATH` or `env:NAME` where it is.

    Raises InputError when it is not there or is no key.
    """
    kind, _, place = source.partition(":")
    if kind == "file":
        try:
            return parse_secret(Path(place).read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"signing-key: cannot read {place}: {error}") from None
    if kind == "env":
        if not environ.get(place):
            raise InputError(f"signing-key: the environment has no variable {place}")
        return parse_secret(environ[place])
    return parse_secret(source)


def _split(text: str, name: str, *, expected: int) -> tuple[str, bytes]:
    key_name, colon, encoded = text.strip().partition(":")
    if not colon or not key_name or any(c.isspace() for c in key_name):
        raise InputError(f"{name}: the key has no name; it is written name:base64, as `nix-autocache keygen` prints it")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{name}: what follows `{key_name}:` is not base64") from None
    if len(raw) != expected:
        kind = {32: "public", 64: "secret"}[expected]
        raise InputError(f"{name}: a {kind} key has {expected} bytes, `{key_name}` has {len(raw)}")
    return key_name, raw
