"""Lines for nix.conf that contain a secret: a token for fetches, or a password in a URL.

`NixConf.write` keeps them out of files that everybody can read, `shown` out of messages. A URL that may contain a
secret counts as secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

ACCESS_TOKENS: Final = "access-tokens"
_SECRET: Final = frozenset({ACCESS_TOKENS, "impure-env"})
_DAEMON: Final = frozenset({"substituters", "trusted-substituters", "builders", "impure-env"})
# Patterns of parts of a URL, compiled at their first use: most steps ask for no secret.
# In https://TOKEN@host the user name is the secret. For ssh it is not, but a password after it is.
_USER: Final = r"(?i)(?<![\w+.-])(?!ssh(?:-ng)?:|git\+ssh:)[a-z][a-z0-9+.-]*://[^\s/?#]+@"
_LOGIN: Final = r"://[^\s/:@]*:[^\s@]+@"
_PARAMETER: Final = r"(?i)[?&][^\s=&]*(token|sig|sas|secret|passw|pwd|credential|api-?_?key)[^\s=&]*=[^\s&]"


def is_secret(line: str) -> bool:
    """True if other users must not read the line."""
    name, value = _parts(line)
    first = name.partition(" ")[0]  # where somebody forgot the `=`
    return bool(value) and (first in _SECRET or holds_secret(value))


def holds_secret(value: str) -> bool:
    """True if a URL in the value has a password, or a token in its parameters."""
    return any(re.search(pattern, value) for pattern in (_USER, _LOGIN, _PARAMETER))


def is_for_fetches(line: str) -> bool:
    """True if only the user's own fetches need the line, not the daemon."""
    return _parts(line)[0] == ACCESS_TOKENS


def is_for_users(line: str) -> bool:
    """True if a user's own Nix may need the line, not only the daemon."""
    return _parts(line)[0] not in _DAEMON


def split(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    """The public lines, and the secret ones.

    After a secret line, further lines for the same setting go with it, since their order matters. Comments are dropped,
    because one may contain a token.
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
    """`text` for a log, without the values of a secret line."""
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
