"""The numbers that `gc` takes from its user, parsed."""

from __future__ import annotations

import re
from typing import Final

from ..errors import InputError

_SIZE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([KMGT]?)B?", re.IGNORECASE)
_SHARE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%?")
_POWERS: Final = {"": 0, "K": 3, "M": 6, "G": 9, "T": 12}


def size(text: str, name: str) -> int:
    """Bytes: `500GB`, `1.5 TB`. Raises InputError."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise InputError(f"{name}: {text!r} is no size; write it as 500GB or 1.5TB")
    return int(float(found[1]) * 10 ** _POWERS[found[2].upper()])


def share(text: str, name: str) -> float:
    """A share of 1: `30%`. Raises InputError."""
    found = _SHARE.fullmatch(text.strip())
    if not found or float(found[1]) > 100:
        raise InputError(f"{name}: {text!r} is no share; write it as 30%")
    return float(found[1]) / 100


def days(text: str, name: str) -> float:
    """Raises InputError."""
    try:
        found = float(text)
    except ValueError:
        found = -1
    if not 0 <= found <= 36500:
        raise InputError(f"{name}: {text!r} is no number of days")
    return found


def count(text: str, name: str) -> int:
    """Raises InputError."""
    if not re.fullmatch("[0-9]{1,6}", text):
        raise InputError(f"{name}: {text!r} is no number from 0 on")
    return int(text)
