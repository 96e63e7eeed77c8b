"""Nix's ed25519 signing keys: `name:base64` text, made, parsed and used.

A secret key is 64 bytes (seed and public half), a public key 32. The signature of a path is over its
fingerprint, see `nix/narinfo.py`. Format: Nix manual, `nix key generate-secret`.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ..errors import InputError
from ..system.text import clean, decoded

_QUOTES = frozenset("\"'`\u201c\u201d\u2018\u2019")
JOB_PREFIX = "nix-autocache-job-"
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


def generate_job_key() -> SecretKey:
    """A key for one job alone, in memory only. No two have one name, since Nix knows one key of a name."""
    return generate(f"{JOB_PREFIX}{os.urandom(8).hex()}")


def parse_secret(text: str, *, name: str = "signing-key") -> SecretKey:
    """Parse `name:base64`. Raises InputError, which names input `name` and never repeats the key."""
    key_name, raw = _split(text, name, expected=64)
    return SecretKey(key_name, raw)


def parse_public(text: str, *, name: str = "public-keys") -> PublicKey:
    """Parse `name:base64`. Raises InputError naming input `name`."""
    key_name, raw = _split(text, name, expected=32)
    return PublicKey(key_name, raw)


class KeyKind(StrEnum):
    """The ways to give the secret key; those with a name before the colon are written `KIND:NAME`."""

    NONE = ""
    LITERAL = "literal"
    FILE = "file"
    ENV = "env"
    SSM = "aws-ssm"
    SECRETS_MANAGER = "aws-secretsmanager"


_AWS = (KeyKind.SSM, KeyKind.SECRETS_MANAGER)
_REFERENCES = (KeyKind.FILE, KeyKind.ENV, *_AWS)


@dataclass(frozen=True)
class KeySource:
    """The input `signing-key`: the key itself, or where it is. False if there is none.

    `name` is a path, a variable, a name or ARN in AWS, or the text of the key. A literal is checked when it is read.
    """

    kind: KeyKind = KeyKind.NONE
    name: str = field(default="", repr=False)

    @staticmethod
    def parse(text: str) -> KeySource:
        prefix, _, name = text.partition(":")
        if name and prefix in _REFERENCES:
            return KeySource(KeyKind(prefix), name)
        return KeySource(KeyKind.LITERAL, text) if text else KeySource()

    @staticmethod
    def of_file(path: Path) -> KeySource:
        return KeySource(KeyKind.FILE, str(path))

    @staticmethod
    def of_key(key: SecretKey) -> KeySource:
        return KeySource(KeyKind.LITERAL, str(key))

    def __bool__(self) -> bool:
        return self.kind is not KeyKind.NONE

    def __str__(self) -> str:
        """As the input is written. It may be the key: never print it."""
        return f"{self.kind}:{self.name}" if self.kind in _REFERENCES else self.name

    @property
    def is_in_aws(self) -> bool:
        """True if only the uploader can read the key, with its AWS credentials."""
        return self.kind in _AWS

    @property
    def is_text(self) -> bool:
        """True if the key stands in an input or a variable, which more processes than the uploader can see."""
        return self.kind in {KeyKind.LITERAL, KeyKind.ENV}

    @property
    def file(self) -> Path | None:
        return Path(self.name) if self.kind is KeyKind.FILE else None

    def read(self, environ: Mapping[str, str]) -> SecretKey:
        """The key. Not for a key in AWS: `caches/aws.py` reads it.

        Raises InputError, which never repeats the key, if the file or variable is missing or holds no secret key.
        """
        match self.kind:
            case KeyKind.FILE:
                try:
                    text = decoded(Path(self.name).read_bytes())
                except (OSError, UnicodeDecodeError) as error:
                    raise InputError(f"signing-key: cannot read {self.name}: {error}") from None
                return parse_secret(text, name=f"signing-key: {self.name}")
            case KeyKind.ENV:
                if not environ.get(self.name):
                    raise InputError(f"signing-key: the environment has no variable {self.name}")
                return parse_secret(environ[self.name], name=f"signing-key: {self.name}")
            case _:
                return parse_secret(str(self))

    def resolved(self, environ: Mapping[str, str]) -> KeySource:
        """This source with the key itself instead of a file or variable. Raises InputError as `read`."""
        return KeySource.of_key(self.read(environ)) if self and not self.is_in_aws else self


def _split(text: str, name: str, *, expected: int) -> tuple[str, bytes]:
    text = clean(text)
    if advice := _not_a_key(text):
        raise InputError(f"{name}: {advice}")
    key_name, colon, encoded = text.partition(":")
    if not colon or not key_name or any(c.isspace() for c in key_name):
        raise InputError(f"{name}: the key has no name; it is written name:base64, as `nix-autocache keygen` prints it")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{name}: what follows `{key_name}:` is not base64") from None
    if len(raw) != expected:
        raise InputError(f"{name}: {_other_half(key_name, len(raw), expected)}")
    return key_name, raw


def _not_a_key(text: str) -> str:
    """What somebody gave instead of a key, and what to write; empty for what may be one."""
    kind, _, name = text.partition(":")
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        return "the key is in quotes; give it without them"
    if "," in text:
        return "there is a comma; keys are separated by blanks"
    if text.startswith("-----BEGIN") or text[:1] in {"{", "["}:
        return "this is no key of Nix; it is a line name:base64 alone, as `nix-autocache keygen` prints it"
    if kind in _REFERENCES:
        return f"{kind}: names nothing" if not name else f"{text} is where a key is, and here the key itself is needed"
    services = {"ssm": KeyKind.SSM, "secretsmanager": KeyKind.SECRETS_MANAGER}
    if kind == "arn" and (service := services.get(text.split(":")[2])):
        return f"this is an ARN; write {service}:{text}"
    if text.startswith(("/", "~", "./", "../")) and len(text.split()) == 1:
        return f"{text} is a file's name, not a key; write file:{text}"
    return ""


def _other_half(key_name: str, size: int, expected: int) -> str:
    if (size, expected) == (32, 64):
        return f"`{key_name}` is a public key; the secret half is what `nix-autocache keygen` prints on standard output"
    if (size, expected) == (64, 32):
        return (
            f"`{key_name}` is a secret key, which must not be published; the public half is what "
            "`nix-autocache keygen` prints on standard error"
        )
    kind = {32: "public", 64: "secret"}[expected]
    return f"a {kind} key has {expected} bytes, `{key_name}` has {size}"
