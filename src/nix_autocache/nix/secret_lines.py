"""Lines for nix.conf that hold a secret: a token for fetches, or a password in a URL.

`Config.write` keeps them out of files that everybody can read; `shown` keeps them out of messages. Where it is not
certain whether a URL holds a secret, it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

ACCESS_TOKENS: Final = "access-tokens"
_SECRET: Final = frozenset({ACCESS_TOKENS, "impure-env"})
_DAEMON: Final = frozenset({"substituters", "trusted-substituters", "builders", "impure-env"})
# In https://TOKEN@host the user is the secret. An ssh user is none, but a password behind it is.
_USER: Final = re.compile(r"(?<![\w+.-])(?!ssh(?:-ng)?:|git\+ssh:)[a-z][a-z0-9+.-]*://[^\s/?#]+@", re.IGNORECASE)
_PASSWORD: Final = re.compile(r"://[^\s/:@]*:[^\s@]+@")
_PARAMETER: Final = re.compile(
    r"[?&][^\s=&]*(token|sig|sas|secret|passw|pwd|credential|api-?_?key)[^\s=&]*=[^\s&]", re.IGNORECASE
)


def is_secret(line: str) -> bool:
    """Whether a line must not be read by others."""
    name, value = _parts(line)
    first = name.partition(" ")[0]  # where somebody forgot the `=`
    return bool(value) and (first in _SECRET or holds_secret(value))


def holds_secret(value: str) -> bool:
    """Whether one of the URLs in a value has a password, or a token in its parameters."""
    return any(pattern.search(value) for pattern in (_USER, _PASSWORD, _PARAMETER))


def is_for_fetches(line: str) -> bool:
    """Whether only the user's own fetches need it, never the daemon."""
    return _parts(line)[0] == ACCESS_TOKENS


def is_for_users(line: str) -> bool:
    """Whether a user's own Nix may need it, and not only the daemon."""
    return _parts(line)[0] not in _DAEMON


def split(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    """Lines for everybody, and lines that others must not read.

    What follows a secret line about the same setting goes with it, since the order decides what is in effect.
    Comments are left out: a token may stand in one.
    """
    public: list[str] = []
    secret: list[str] = []
    moved: set[str] = set()
    for line in filter(None, (line.partition("#")[0].rstrip() for line in lines)):
        name = _parts(line)[0]
        if is_secret(line) or name in moved:
            moved.add(name)
            secret.append(line)
        else:
            public.append(line)
    return public, secret


def shown(line: str, text: str) -> str:
    """`text` for a log: without what a secret line sets."""
    if not is_secret(line):
        return text
    words = line.partition("=")[2].split()
    parts = {part for word in words for part in (word, word.partition("=")[2]) if part}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "…")
    return text


def _parts(line: str) -> tuple[str, str]:
    """The setting's name without `extra-`, and its value."""
    name, _, value = line.partition("#")[0].partition("=")
    return name.strip().removeprefix("extra-"), value.strip()
