"""The input `github-token`: tokens for Nix's own fetches, each for one server."""

from __future__ import annotations

import re
from typing import Final

from ..errors import InputError

_HOST: Final = r"(?:localhost|[\w-]+(?:\.[\w-]+)+|\[[0-9A-Fa-f:.]+\])(?::\d+)?(?:/[^\s=]*)?"
_PAIR: Final = rf"{_HOST}=\S*[^\s=]\S*"  # a token may itself end with `=`


def parse(text: str, name: str) -> str:
    """One token, or several `HOST=TOKEN`. Raises InputError without repeating them."""
    words = text.split()
    if len(words) > 1 and not all(re.fullmatch(_PAIR, word) for word in words):
        raise InputError(f"{name}: {len(words)} words are not one token; write several as HOST=TOKEN HOST=TOKEN")
    return " ".join(words)


def access_tokens(text: str, server: str) -> str:
    """The value of Nix's setting access-tokens. A token without a host is for `server`."""
    return " ".join(word if re.fullmatch(_PAIR, word) else f"{server}={word}" for word in text.split())
