"""A user's own directories: where Nix reads their configuration, and the XDG base directories."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..nix.conf import NixConf
from ..system.home import of_account


def nix_conf(environ: Mapping[str, str]) -> Path:
    """The last file that Nix reads and this user can change: it overrides all files before it.

    Source: getUserConfigFiles in src/libstore/globals.cc of Nix, and getHome in src/libutil/users.cc.
    """
    named = [Path(name) for name in environ.get("NIX_USER_CONF_FILES", "").split(":") if name.startswith("/")]
    for path in named:
        if not NixConf(path.parent, path.name).is_fixed:
            return path
    directory = environ.get("XDG_CONFIG_HOME") or _nix_home(environ) / ".config"
    return Path(directory, "nix", "nix.conf")


def _nix_home(environ: Mapping[str, str]) -> Path:
    """Nix's home directory: not $HOME where that belongs to another user, as in GitHub's job containers."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    with suppress(OSError, KeyError):
        if home.stat().st_uid != os.geteuid():
            return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    return home


def base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    """An XDG base directory. `default` is relative to the home directory."""
    if os.path.isabs(named := environ.get(variable, "")):  # the specification: others are not valid
        return Path(named)
    return Path(environ.get("HOME") or of_account() or "/nonexistent", default)


def name(environ: Mapping[str, str]) -> str:
    """The user's name. In a container that is a number for which there is no account, the number."""
    if named := environ.get("USER"):
        return named
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
