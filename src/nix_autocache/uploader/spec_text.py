"""Specs as JSON on one line, for the standard input of our own processes. The text holds all secrets of the spec."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar

from ..nix.keys import PublicKey, SecretKey, parse_public, parse_secret
from ..nix.store_url import CacheUrl, parse_cache_url
from ..system import record

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

D = TypeVar("D", bound="DataclassInstance")

_FORMS: Final[record.TextForms] = {
    CacheUrl: (str, parse_cache_url),
    PublicKey: (str, parse_public),
    SecretKey: (str, parse_secret),
    re.Pattern: (attrgetter("pattern"), re.compile),
}


def line(spec: DataclassInstance) -> bytes:
    """With a newline at its end."""
    return record.dumps(spec, _FORMS).encode() + b"\n"


def parse(kind: type[D], text: str) -> D:
    """Raises ValueError for text that is no such spec."""
    return record.loads(kind, text, _FORMS)
