"""The settings in effect, as Nix itself reports them: a later file or variable may override what we wrote.

`of_client` has the settings of a job's commands, `of_machine` those of a daemon. Both are empty if Nix does not answer,
which proves nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import unquote

from ..errors import InputError
from ..system.process import run
from .keys import PublicKey, parse_public
from .store import Nix

_LOGIN: Final = re.compile(r"://[^@/\s]*@")
_TIMEOUT: Final = 20.0  # seconds; it takes 30 ms
_COMMANDS: Final = (("config", "show"), ("show-config",))  # the second until Nix 2.19


def of_client(nix: Nix, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The settings of this user's Nix with these variables. A list is one text, with blanks between its items."""
    for words in _COMMANDS:
        command = [nix.program("nix"), "--extra-experimental-features", "nix-command", *words]
        done = run(command, environ=environ, timeout=_TIMEOUT)
        if done.status == 0:
            lines = (line.partition(" = ") for line in done.output.splitlines())
            return {name.strip(): value.strip() for name, _, value in lines}
    return {}


def of_machine(nix: Nix) -> Mapping[str, str]:
    """The settings in /etc/nix, without those of this user."""
    return of_client(nix, {"PATH": os.defpath, "HOME": "/var/empty", "NIX_USER_CONF_FILES": ""})


def trusted_keys(nix: Nix) -> tuple[PublicKey, ...]:
    """The keys that this machine's Nix trusts. One that is malformed signs nothing, so it is left out."""
    found = []
    for text in of_machine(nix).get("trusted-public-keys", "").split():
        with suppress(InputError):
            found.append(parse_public(text))
    return tuple(found)


def lists(settings: Mapping[str, str], name: str, item: str) -> bool:
    """True if a list has this item. Store URLs are compared in a plain form, since newer Nix rewrites them."""
    return _plain(item) in map(_plain, settings.get(name, "").split())


def without_passwords(text: str) -> str:
    """The text without user names and passwords of URLs, for logs and records."""
    return _LOGIN.sub("://…@", text)


def _plain(item: str) -> str:
    place, _, params = without_passwords(item).partition("?")
    return f"{unquote(place).rstrip('/')}?{'&'.join(sorted(unquote(params).split('&')))}"
