"""Asks whether this user is a trusted user of the nix-daemon, who may change its settings."""

from __future__ import annotations

import json
import os
import pwd

from ..system import process
from .conf import MACHINE
from .store import Nix


def is_trusted(nix: Nix | None) -> bool:
    """True if the daemon trusts this user, as it says itself or, before Nix 2.19, as nix.conf says."""
    assert nix is not None, "a daemon is asked with Nix"
    command = [nix.program("nix"), "--extra-experimental-features", "nix-command", "store", "info", "--json"]
    try:
        return bool(json.loads(process.run(command).output)["trusted"])
    except (ValueError, KeyError):
        return _is_named((MACHINE.foreign_value("trusted-users") or "root").split())


def _is_named(names: list[str]) -> bool:
    try:
        me = pwd.getpwuid(os.geteuid())
    except KeyError:  # in a container, the user may have no account
        return "*" in names
    groups = {f"@{group}" for group in _group_names(me)}
    return "*" in names or me.pw_name in names or not groups.isdisjoint(names)


def _group_names(me: pwd.struct_passwd) -> list[str]:
    import grp

    return [grp.getgrgid(number).gr_name for number in os.getgrouplist(me.pw_name, me.pw_gid)]
