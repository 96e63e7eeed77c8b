"""Whether the nix-daemon trusts this user, which lets it change settings of the daemon."""

from __future__ import annotations

import json
import os
import pwd

from ..system import process
from .conf import MACHINE
from .store import Nix


def is_trusted(nix: Nix | None) -> bool:
    """Whether the daemon lets this user change its settings: its own word, or before Nix 2.19 its configuration's."""
    assert nix is not None, "a daemon is asked with Nix"
    command = [nix.program("nix"), "--extra-experimental-features", "nix-command", "store", "info", "--json"]
    try:
        return bool(json.loads(process.run(command).output)["trusted"])
    except (ValueError, KeyError):
        return _is_named((MACHINE.value("trusted-users") or "root").split())


def _is_named(names: list[str]) -> bool:
    try:
        me = pwd.getpwuid(os.geteuid())
    except KeyError:  # a container may run as a number that no account has
        return "*" in names
    groups = {f"@{group}" for group in _group_names(me)}
    return "*" in names or me.pw_name in names or not groups.isdisjoint(names)


def _group_names(me: pwd.struct_passwd) -> list[str]:
    import grp

    return [grp.getgrgid(number).gr_name for number in os.getgrouplist(me.pw_name, me.pw_gid)]
