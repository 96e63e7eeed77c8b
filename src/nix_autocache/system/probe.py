"""Probes of this machine: sudo, systemd, and the namespaces that Nix's sandbox needs. Each is tried, not guessed.

Standard library only: root runs a part of it, see machine/root.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from . import process

_TIMEOUT: Final = 10.0  # seconds; sudo may ask a directory server that does not answer
_NEW_MOUNT, _NEW_USER, _NEW_PID = 0x00020000, 0x10000000, 0x20000000  # sched.h
_RECURSIVE, _PRIVATE = 0x4000, 0x40000  # sys/mount.h


def sudo() -> bool:
    """True if this user becomes root without a password."""
    if not _has_sudo():
        return False
    return process.run(["sudo", "-n", "true"], timeout=_TIMEOUT).status == 0


def sudo_for_some(account: process.Account | None = None) -> bool:
    """True if sudo runs any command without a password, for this user or for an account that root names.

    It reads sudo's own list. The last matching rule counts, so a rule that denies all cancels those before it.
    """
    if not _has_sudo():
        return False
    english = process.inherited({"LC_ALL": "C"})
    done = process.run(["sudo", "-n", "-l"], environ=english, timeout=_TIMEOUT, account=account)
    settings, _, rules = done.output.partition("may run the following commands")
    lines = [line.strip() for line in rules.splitlines()[1:]]
    left = lines[max((number for number, line in enumerate(lines, 1) if _denies_all(line)), default=0) :]
    free = "!authenticate" in settings
    return any(line.startswith("(") and (free or "NOPASSWD:" in line) for line in left)


def _has_sudo() -> bool:
    import shutil  # most steps do not need it

    return shutil.which("sudo") is not None


def _denies_all(rule: str) -> bool:
    return rule.startswith("(ALL") and rule.endswith(") !ALL")


def systemd() -> bool:
    """True if systemd is this machine's init. Source: sd_booted(3)."""
    return Path("/run/systemd/system").is_dir()


def forbids_programs(directory: Path) -> bool:
    """True if this directory's file system is mounted noexec; macOS does not tell. Raises OSError."""
    return bool(sys.platform == "linux" and os.statvfs(directory).f_flag & os.ST_NOEXEC)


def namespaces() -> bool:
    """True if this user can have what Nix's sandbox needs: mount and process namespaces, and a /proc in them.

    Source: mountAndPidNamespacesSupported in src/libstore/unix/ or src/libutil/linux/ of Nix.
    """
    if os.uname().sysname != "Linux":
        return False
    return _in_child(lambda: _enter_namespaces(0) or (os.geteuid() != 0 and _enter_namespaces(_NEW_USER)))


def _enter_namespaces(more: int) -> bool:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNT | _NEW_PID | more):
        return False
    return _in_child(  # the first child is process 1 of the new namespace
        lambda: (
            not libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None)
            and not libc.mount(b"none", b"/proc", b"proc", 0, None)
        )
    )


def _in_child(works: Callable[[], bool]) -> bool:
    """Call it in a child process: new namespaces end with the child."""
    child = os.fork()
    if child == 0:
        os._exit(0 if works() else 1)
    return os.waitpid(child, 0)[1] == 0
