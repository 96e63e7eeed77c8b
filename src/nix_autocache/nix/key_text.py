"""The text of a key, `name:base64`, checked. The advice in an error says what people gave instead.

No message repeats a key.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from ..errors import InputError
from ..system.text import clean

_QUOTES: Final = frozenset("\"'`\u201c\u201d\u2018\u2019")
_SSM, _SECRETS_MANAGER = "aws-ssm", "aws-secretsmanager"
_REFERENCES: Final = frozenset({"file", "env", _SSM, _SECRETS_MANAGER})  # see key_source.KeyKind


def parse(text: str, name: str, *, expected: int) -> tuple[str, bytes]:
    """The key's name and its `expected` bytes. Raises InputError naming input `name`."""
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
    """Advice for a text that cannot be a key; empty if it may be one."""
    kind, _, name = text.partition(":")
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        return "the key is in quotes; give it without them"
    if "," in text:
        return "there is a comma; keys are separated by blanks"
    if text.startswith("-----BEGIN") or text[:1] in {"{", "["}:
        return "this is no key of Nix; it is a line name:base64 alone, as `nix-autocache keygen` prints it"
    if kind in _REFERENCES:
        return f"{kind}: names nothing" if not name else f"{text} is where a key is, and here the key itself is needed"
    services = {"ssm": _SSM, "secretsmanager": _SECRETS_MANAGER}
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
