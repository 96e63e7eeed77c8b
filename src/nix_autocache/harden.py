"""Root taken away from a job's user until `undo`: sudo, and every path that was found to be in its reach.

Run by root, by way of `privileged`. What is changed is noted before it is changed. Standard library only.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from . import notes
from .errors import RunnerError
from .exposure import YAMA
from .places import Places

_SUDOERS: Final = Path("/etc/sudoers")
_SUDOERS_D: Final = Path("/etc/sudoers.d")
_RULE: Final = _SUDOERS_D / "zzzzzzzz-nix-autocache"  # the last rule that fits counts
_READ_ONLY: Final = Path("/usr")


@dataclass(frozen=True, kw_only=True)
class Hardened:
    """What was changed: modes, owners and groups by path, mounts, a text by path, the kernel's setting."""

    modes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    mounts: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)
    ptrace: str = ""

    @classmethod
    def load(cls, path: Path) -> Hardened:
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError:
            return cls()
        modes = {name: (mode, uid, gid) for name, (mode, uid, gid) in values["modes"].items()}
        return cls(**{**values, "modes": modes, "mounts": tuple(values["mounts"])})

    def save(self, path: Path) -> None:
        notes.save(self, path)


def close(places: Places, user: int, reachable: Sequence[Path]) -> None:
    """Take from the user sudo, and the right to change or connect to what is `reachable`.

    Tries to, and leaves it to who asked to look what is still in reach.
    """
    with places.lock():
        note, done = _note(places), Hardened.load(_note(places))
        others = [path for path in reachable if not path.is_relative_to(_READ_ONLY)]
        mounts = done.mounts or ((str(_READ_ONLY),) if len(others) < len(reachable) else ())
        modes = {**{str(path): _mode(path) for path in others}, **done.modes}
        replace(done, modes=modes, mounts=mounts, ptrace=done.ptrace or _ptrace()).save(note)
        if mounts and not done.mounts:
            _mount_read_only(_READ_ONLY)
        for path in others:
            _close(path)
        if _ptrace() == "0":
            YAMA.write_text("1")
        _deny_sudo(note, user)


def reopen(places: Places) -> None:
    """Bring back what `close` took."""
    note = _note(places)
    done = Hardened.load(note)
    _RULE.unlink(missing_ok=True)
    for name, text in done.texts.items():
        _write(Path(name), text)
    for name, (mode, uid, gid) in done.modes.items():
        with suppress(OSError):
            os.chown(name, uid, gid, follow_symlinks=False)
            os.chmod(name, mode)
    for mount in done.mounts:
        subprocess.run(["umount", "--lazy", mount], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.ptrace:
        with suppress(OSError):
            YAMA.write_text(done.ptrace)
    note.unlink(missing_ok=True)


def _deny_sudo(note: Path, user: int) -> None:
    """By a rule of its own; where one that comes later allows it again, by the last line of all."""
    if not _SUDOERS.exists():
        return
    rule = f"# written by nix-autocache; `nix-autocache undo` removes it\n#{user} ALL = (ALL:ALL) !ALL\n"
    if _SUDOERS_D.is_dir():
        _write(_RULE, rule)
    if _has_sudo(user):
        before = _SUDOERS.read_text()
        done = Hardened.load(note)
        replace(done, texts={str(_SUDOERS): before, **done.texts}).save(note)
        _write(_SUDOERS, f"{before.rstrip()}\n{rule}")
    # What sudo remembers of a password that was given lately.
    name = pwd.getpwuid(user).pw_name
    for remembered in (Path("/run/sudo/ts", name), Path("/run/sudo/ts", str(user)), Path("/var/lib/sudo/ts", name)):
        remembered.unlink(missing_ok=True)


def _has_sudo(user: int) -> bool:
    account = pwd.getpwuid(user)
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    done = subprocess.run(
        ["sudo", "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, cwd="/", check=False,
        user=user, group=account.pw_gid, extra_groups=groups,
    )  # fmt: skip
    return done.returncode == 0


def _write(path: Path, text: str) -> None:
    """A file of sudo's: one that it cannot read would shut everybody out, so it is checked before it is there."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".nix-autocache.", delete=False) as file:
        os.fchmod(file.fileno(), 0o440)
        file.write(text)
    fresh = Path(file.name)
    try:
        command = ["visudo", "--check", "--quiet", "--file", str(fresh)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        done = subprocess.CompletedProcess([], 0)
    if done.returncode:
        fresh.unlink()
        raise RunnerError(f"sudo would not read the rule for {path}: {done.stderr.strip() or done.stdout.strip()}")
    fresh.rename(path)


def _close(path: Path) -> None:
    """Root's alone where it is a device or a socket; else only not to be written by others."""
    with suppress(OSError):
        mode, _, _ = _mode(path)
        readable = path.is_file() or path.is_dir()
        os.chown(path, 0, 0, follow_symlinks=False)
        path.chmod(mode & ~0o022 if readable else 0o600)


def _ptrace() -> str:
    """Yama's setting; empty without Yama."""
    with suppress(OSError):
        return YAMA.read_text().strip()
    return ""


def _mode(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mode & 0o7777, status.st_uid, status.st_gid


def _mount_read_only(directory: Path) -> None:
    """Everything below at once, however much of it others may write."""
    for options in (["--rbind", str(directory)], ["-o", "remount,bind,ro"]):
        command = ["mount", *options, str(directory)]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _note(places: Places) -> Path:
    return places.state / "hardened.json"
