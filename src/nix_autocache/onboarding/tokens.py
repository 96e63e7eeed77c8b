"""The token that a person has for a CI host: in the environment, or with the host's own command-line program.

It is never printed, written down or put into an argument; messages name where it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..system import process
from ..system.dataclass import dataclass, field

_LONGEST: Final = 30.0  # seconds: a keyring may ask to be unlocked


@dataclass(frozen=True)
class Token:
    """Its `origin` is a variable or a program."""

    text: str = field(repr=False)
    origin: str


def find(environ: Mapping[str, str], names: Sequence[str], command: Sequence[str]) -> Token | None:
    """The token of the first variable that is set, or else what the program prints; None without either."""
    for name in names:
        if text := environ.get(name, "").strip():
            return Token(text, name)
    done = process.run(command, environ=environ, timeout=_LONGEST)
    text = done.output.strip()
    return Token(text, command[0]) if not done.status and text else None
