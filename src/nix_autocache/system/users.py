"""The users that Nix builds as, one for each build at a time, and the one that uploads: made and removed with this
machine's own tools.

Debian and Fedora have useradd, Alpine has busybox's adduser. Both are called once per user: there is no tool
that makes several and is everywhere.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from ..errors import RunnerError
from .process import Finished, run

GROUP: Final = "nixbld"
_SHELL: Final = "/sbin/nologin"
_HOME: Final = "/var/empty"
_SBIN: Final = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def members() -> tuple[str, ...]:
    """The build users that are there."""
    with suppress(KeyError):
        return tuple(grp.getgrnam(GROUP).gr_mem)
    return ()


def can_be_made() -> bool:
    """Whether this machine has a tool to make users with, root provided."""
    return bool(_tool("useradd") or _tool("adduser"))


def wanted() -> tuple[str, ...]:
    """The names of the build users of this machine: twice as many as it has processors, and two to spare.

    Each takes 10 ms to make, and a build that finds none free waits for one.
    """
    return tuple(f"{GROUP}{number}" for number in range(1, 2 * (os.cpu_count() or 1) + 3))


def missing(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the users that do not exist."""
    known = {account.pw_name for account in pwd.getpwall()}
    return tuple(name for name in names if name not in known)


def group_exists() -> bool:
    with suppress(KeyError):
        return bool(grp.getgrnam(GROUP))
    return False


def make(names: Iterable[str]) -> None:
    """Make the group and these users in it, as far as they are missing. Raises RunnerError if that fails."""
    if not group_exists():
        _run(["groupadd", "--system", GROUP] if _tool("groupadd") else ["addgroup", "-S", GROUP])
    for name in missing(names):
        _run(_useradd(name) if _tool("useradd") else _adduser(name))
        if not _tool("useradd"):
            _run(["addgroup", name, GROUP])


def make_alone(name: str, comment: str) -> None:
    """Make a system user with a group of that name, and nothing else. Raises RunnerError if that fails."""
    if _tool("useradd"):
        common = ["--system", "--no-create-home", "--home-dir", _HOME, "--shell", _SHELL, "--comment", comment]
        _run(["useradd", *common, "--user-group", name])
    else:
        _run(["addgroup", "-S", name])
        _run(["adduser", "-S", "-D", "-H", "-h", _HOME, "-s", _SHELL, "-G", name, "-g", comment, name])


def remove(names: Iterable[str], *, group: str = "") -> None:
    """Remove these users, and a group if one is named; what is gone already does not matter."""
    for name in names:
        _try(["userdel", name] if _tool("userdel") else ["deluser", name])
    if group:
        _try(["groupdel", group] if _tool("groupdel") else ["delgroup", group])


def _useradd(name: str) -> Sequence[str]:
    common = ["useradd", "--system", "--no-create-home", "--no-user-group", "--home-dir", _HOME, "--shell", _SHELL]
    return [*common, "--gid", GROUP, "--groups", GROUP, "--comment", "Nix build user", name]


def _adduser(name: str) -> Sequence[str]:
    return ["adduser", "-S", "-D", "-H", "-h", _HOME, "-s", _SHELL, "-G", GROUP, "-g", "Nix build user", name]


def _tool(name: str) -> str | None:
    return shutil.which(name, path=_SBIN)


def _run(command: Sequence[str]) -> None:
    done = _try(command)
    if done.status:
        raise RunnerError(f"cannot make a user: {' '.join(command)}: {done.reason}")


def _try(command: Sequence[str]) -> Finished:
    return run([_tool(command[0]) or command[0], *command[1:]])
