"""System users, made and removed with this machine's own tools: build users of Nix, and the uploader's user.

Debian and Fedora have useradd, Alpine has busybox's adduser. Both are called once for each user: no tool that makes
several is everywhere.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from ..errors import RunnerError
from .process import Finished, find_program, run

GROUP: Final = "nixbld"
_SHELL: Final = "/sbin/nologin"
_HOME: Final = "/var/empty"


def members() -> tuple[str, ...]:
    """The build users that exist."""
    with suppress(KeyError):
        return tuple(grp.getgrnam(GROUP).gr_mem)
    return ()


def can_be_made() -> bool:
    """True if root could make users: this machine has a tool for it."""
    return bool(find_program("useradd") or find_program("adduser"))


def wanted() -> tuple[str, ...]:
    """The names of the build users for this machine: two for each processor, and two more.

    Each takes 10 ms to make. A build that finds no free user waits for one.
    """
    return tuple(f"{GROUP}{number}" for number in range(1, 2 * (os.cpu_count() or 1) + 3))


def missing(names: Iterable[str]) -> tuple[str, ...]:
    known = {account.pw_name for account in pwd.getpwall()}
    return tuple(name for name in names if name not in known)


def group_exists() -> bool:
    with suppress(KeyError):
        return bool(grp.getgrnam(GROUP))
    return False


def make(names: Iterable[str]) -> None:
    """Make the group of build users, and the users that are missing in it. Raises RunnerError."""
    if not group_exists():
        _run(["groupadd", "--system", GROUP] if find_program("groupadd") else ["addgroup", "-S", GROUP])
    for name in missing(names):
        _run(_useradd(name) if find_program("useradd") else _adduser(name))
        if not find_program("useradd"):
            _run(["addgroup", name, GROUP])


def make_system_user(name: str, comment: str) -> None:
    """Make a user with a group of the same name, and without a home. Raises RunnerError."""
    if find_program("useradd"):
        common = ["--system", "--no-create-home", "--home-dir", _HOME, "--shell", _SHELL, "--comment", comment]
        _run(["useradd", *common, "--user-group", name])
    else:
        _run(["addgroup", "-S", name])
        _run(["adduser", "-S", "-D", "-H", "-h", _HOME, "-s", _SHELL, "-G", name, "-g", comment, name])


def remove(names: Iterable[str], *, group: str = "") -> None:
    """Remove these users, and the group if one is named. Those that do not exist are no error."""
    for name in names:
        _try(["userdel", name] if find_program("userdel") else ["deluser", name])
    if group:
        _try(["groupdel", group] if find_program("groupdel") else ["delgroup", group])


def _useradd(name: str) -> Sequence[str]:
    common = ["useradd", "--system", "--no-create-home", "--no-user-group", "--home-dir", _HOME, "--shell", _SHELL]
    return [*common, "--gid", GROUP, "--groups", GROUP, "--comment", "Nix build user", name]


def _adduser(name: str) -> Sequence[str]:
    return ["adduser", "-S", "-D", "-H", "-h", _HOME, "-s", _SHELL, "-G", GROUP, "-g", "Nix build user", name]


def _run(command: Sequence[str]) -> None:
    done = _try(command)
    if done.status:
        raise RunnerError(f"cannot make a user: {' '.join(command)}: {done.reason}")


def _try(command: Sequence[str]) -> Finished:
    return run([find_program(command[0]) or command[0], *command[1:]])
