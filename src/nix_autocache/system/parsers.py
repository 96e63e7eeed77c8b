"""Parsers of single values, for the inputs: each gets the text and the input's name, and raises InputError.

A message repeats the value unless it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from ..errors import InputError

# As Nix writes them, in nix.conf and in store URLs.
TRUE: Final = frozenset({"true", "yes", "1"})
FALSE: Final = frozenset({"false", "no", "0"})

_T = TypeVar("_T")


def as_boolean(text: str) -> bool | None:
    """None for a text that Nix does not take for a boolean."""
    return True if text in TRUE else False if text in FALSE else None


def text(value: str, name: str) -> str:
    return value


def boolean(value: str, name: str) -> bool:
    found = as_boolean(value.lower())
    if found is None:
        raise InputError(f"{name}: {value!r} is neither true nor false")
    return found


def choice(*allowed: str) -> Callable[[str, str], str]:
    def parse(value: str, name: str) -> str:
        if value not in allowed:
            raise InputError(f"{name}: {value!r} is not one of {', '.join(allowed)}")
        return value

    return parse


def number(low: int, high: int) -> Callable[[str, str], int]:
    def parse(value: str, name: str) -> int:
        if not re.fullmatch("[0-9]+", value) or not low <= int(value) <= high:
            raise InputError(f"{name}: {value!r} is not a whole number from {low} to {high}")
        return int(value)

    return parse


def optional(parse: Callable[[str, str], _T]) -> Callable[[str, str], _T | None]:
    """The same parser, with None for an empty value."""
    return lambda value, name: parse(value, name) if value else None


def pattern(value: str, name: str) -> re.Pattern[str]:
    try:
        return re.compile(value)
    except re.error as error:
        raise InputError(f"{name}: {value!r} is not a regular expression: {error}") from None


def line(value: str, name: str) -> str:
    """One line. It may be a secret, so the message does not repeat it."""
    if not value.isprintable():
        raise InputError(f"{name}: it contains a line break or a control character")
    return value


def sha256(value: str, name: str) -> str:
    """64 hexadecimal digits, or nothing."""
    if value and not re.fullmatch(r"[0-9a-f]{64}", value):
        raise InputError(f"{name}: {value!r} is not a sha256 in 64 lower-case hexadecimal digits")
    return value


def role_arn(value: str, name: str) -> str:
    """The ARN of an AWS role, or nothing."""
    if value and not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+", value):
        raise InputError(f"{name}: {value!r} is not a role's ARN such as arn:aws:iam::123456789012:role/ci")
    return value
