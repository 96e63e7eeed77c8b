"""The settings that Nix really uses, asked of Nix itself: whatever we wrote, a file or variable read later may undo it.

`of_client` is what the commands of a job say to the daemon, or do themselves without one; `of_machine` is what a
daemon has for everybody. Both are empty where Nix does not answer, which is no proof of anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from ..system.process import run
from .keys import PublicKey, parse_public
from .store import Nix

_LOGIN: Final = re.compile(r"://[^@/\s]*@")
_TIMEOUT: Final = 20.0  # seconds; it takes 30 ms
_COMMANDS: Final = (("config", "show"), ("show-config",))  # the second until Nix 2.19


def of_client(nix: Nix, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The settings that this user's Nix has with these variables. A list is one text, its items between blanks."""
    for words in _COMMANDS:
        command = [nix.program("nix"), "--extra-experimental-features", "nix-command", *words]
        done = run(command, environ=environ, timeout=_TIMEOUT)
        if done.status == 0:
            lines = (line.partition(" = ") for line in done.output.splitlines())
            return {name.strip(): value.strip() for name, _, value in lines}
    return {}


def of_machine(nix: Nix) -> Mapping[str, str]:
    """The settings of /etc/nix as Nix reads them, without those of the user who asks."""
    return of_client(nix, {"PATH": os.defpath, "HOME": "/var/empty", "NIX_USER_CONF_FILES": ""})


def trusted_keys(nix: Nix) -> tuple[PublicKey, ...]:
    """The keys that this machine's Nix trusts. Raises InputError for one that is malformed, as Nix itself does."""
    listed = of_machine(nix).get("trusted-public-keys", "").split()
    return tuple(parse_public(key, name="trusted-public-keys") for key in listed)


def lists(settings: Mapping[str, str], name: str, item: str) -> bool:
    """Whether a setting that is a list has this item. Newer Nix writes a store URL in its own way."""
    return _plain(item) in map(_plain, settings.get(name, "").split())


def without_passwords(text: str) -> str:
    """A list of URLs for logs and records."""
    return _LOGIN.sub("://…@", text)


def _plain(item: str) -> str:
    place, _, params = without_passwords(item).partition("?")
    return f"{unquote(place).rstrip('/')}?{'&'.join(sorted(unquote(params).split('&')))}"
