"""How Nix reads the cache: through our proxy, or, where that would be wrong, by itself."""

from __future__ import annotations

import netrc
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..machine.modes import Mode, ModeRule
from ..nix.conf import MACHINE
from ..uploader.read_proxy.address import is_proxied
from .context import Context
from .destination import Destination

if TYPE_CHECKING:
    from ..machine.observe import Facts

_NETRC: Final = Path("/etc/nix/netrc")  # Nix's default


def obstacle(context: Context, facts: Facts, rule: ModeRule, destination: Destination) -> str:
    """Why Nix must read the cache by itself; empty where it can through our proxy."""
    if rule.mode is Mode.EXISTING_SCAN and not facts.trusted:
        return "the daemon takes no other caches from this user than those it knows"
    hosts = context.repository_cache(destination)
    if hosts and hosts.unreadable:
        return hosts.unreadable
    if is_proxied(context.environ):
        return "http_proxy is set, and no_proxy lacks 127.0.0.1"
    if login := _login_file(context, destination):
        return f"{login} has a login for this cache, which Nix knows how to use"
    return ""


def _login_file(context: Context, destination: Destination) -> Path | None:
    """The file in which Nix looks up a login for the server of the cache, if it may hold one."""
    if destination.url.row.address != "host" or destination.url.secrets:
        return None
    file = Path(_named(context) or MACHINE.foreign_value("netrc-file") or _NETRC)
    host = urlsplit(f"//{destination.url.authority}").hostname or ""
    try:
        return file if netrc.netrc(str(file)).authenticators(host) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, netrc.NetrcParseError):
        return file  # only Nix's daemon may be able to read it


def _named(context: Context) -> str:
    lines = (line.partition("=") for line in context.settings.extra_nix_conf.splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "netrc-file"), "")
