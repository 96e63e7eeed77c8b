"""Deny sudo to users with rules of ours, and allow it again by removing these rules and nothing else.

A file that sudo cannot parse locks everybody out, so `visudo` checks it before it is in place. For root; standard
library only.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import RunnerError
from ..system import probe, process
from ..system.files import write_atomically

_MAIN: Final = Path("/etc/sudoers")
_DIRECTORY: Final = Path("/etc/sudoers.d")
_OURS: Final = _DIRECTORY / "zzzzzzzz-nix-autocache"  # the last rule that fits counts
_MARK: Final = "# nix-autocache: `nix-autocache undo` removes this line and the next"
_MARK_GLUED: Final = f"{_MARK}, and the line break before"


def deny(users: Sequence[int]) -> None:
    """Deny sudo to all of them. Raises RunnerError if `visudo` rejects the rules.

    Our own file has them; where a later rule allows sudo again, they are also the last lines of the main file.
    """
    if not _MAIN.exists():
        return
    if _DIRECTORY.is_dir():
        _check_and_put(_OURS, "".join(_rule(user, _MARK) for user in users))
    for user in users:
        if _has_sudo(user) and not _MAIN.is_symlink():  # as on NixOS, where it leads into the store
            text = _read()
            glued = bool(text) and not text.endswith("\n")
            _check_and_put(_MAIN, text + ("\n" if glued else "") + _rule(user, _MARK_GLUED if glued else _MARK))
        _forget_passwords(user)


def allow(users: Iterable[int]) -> None:
    """Remove the rules of these users."""
    for user in users:
        for path in (_OURS, _MAIN):
            with suppress(FileNotFoundError):
                _take_out(path, user)


def _take_out(path: Path, user: int) -> None:
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    glued = "\n" + _rule(user, _MARK_GLUED)
    # The line break is no longer ours if somebody has added lines after it.
    rest = text.replace(glued, "" if text.endswith(glued) else "\n").replace(_rule(user, _MARK), "")
    rule = _rule(user, "")[1:]
    if rule in rest:  # somebody changed our comment
        rest = rest.replace(rule, "")
    if rest == text:
        return
    if path == _OURS and not rest:
        path.unlink()
    else:
        _put(path, rest)


def _rule(user: int, mark: str) -> str:
    return f"{mark}\n#{user} ALL = (ALL:ALL) !ALL\n"


def _read() -> str:
    return _MAIN.read_text(encoding="utf-8", errors="surrogateescape")


def _check_and_put(path: Path, text: str) -> None:
    fresh = path.with_name(f".nix-autocache.{os.urandom(4).hex()}")  # sudo reads no name with a dot
    write_atomically(fresh, text.encode("utf-8", "surrogateescape"), 0o440)
    try:
        done = process.run(["visudo", "--check", "--quiet", "--file", str(fresh)])
        if done.status not in {0, process.NOT_STARTED}:
            raise RunnerError(f"sudo would not read the rule for {path}: {done.reason}")
    finally:
        fresh.unlink(missing_ok=True)
    _put(path, text)


def _put(path: Path, text: str) -> None:
    """Replace a file. An existing one keeps its mode and its owner."""
    mode, owner = 0o440, (0, 0)
    with suppress(FileNotFoundError):
        status = path.stat()
        mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
    write_atomically(path, text.encode("utf-8", "surrogateescape"), mode, owner)


def _has_sudo(user: int) -> bool:
    account = pwd.getpwuid(user)
    job = process.Account(user, account.pw_gid, tuple(os.getgrouplist(account.pw_name, account.pw_gid)))
    return process.run(["sudo", "-n", "true"], account=job).status == 0 or probe.sudo_for_some(job)


def _forget_passwords(user: int) -> None:
    """Remove sudo's memory of a password that was typed lately."""
    name = pwd.getpwuid(user).pw_name
    for remembered in (Path("/run/sudo/ts", name), Path("/run/sudo/ts", str(user)), Path("/var/lib/sudo/ts", name)):
        remembered.unlink(missing_ok=True)
