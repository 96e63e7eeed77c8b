"""Root taken away from a job's user until `undo`: sudo, and every path that was found to be in its reach.

Run by root, by way of `privileged`. What is changed is noted before it is changed, and only what is still as it was
changed is changed back: since then the machine's owner may have said otherwise. Standard library only.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..system import process, record
from ..system.files import handle_of, open_to_write, set_mode_of
from ..trust.probes import YAMA
from . import sudoers
from .paths import Paths

_READ_ONLY: Final = Path("/usr")


@dataclass(frozen=True)
class Closed:
    """A file by device and number, the mode and the owner that it had, and those that it was given."""

    device: int
    number: int
    before: tuple[int, int, int]
    since: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class LockdownRecord:
    """What was changed: paths, whom sudo refuses, the kernel's setting, and where what was mounted, in which boot."""

    paths: dict[str, Closed] = field(default_factory=dict)
    mounts: dict[str, str] = field(default_factory=dict)
    users: tuple[int, ...] = ()
    ptrace: str = ""

    @classmethod
    def load(cls, path: Path) -> LockdownRecord:
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError:
            return cls()
        paths = {
            name: Closed(each["device"], each["number"], _three(each["before"]), _three(each["since"]))
            for name, each in values["paths"].items()
        }
        return cls(paths=paths, mounts=values["mounts"], users=tuple(values["users"]), ptrace=values["ptrace"])


def close(places: Paths, user: int, reachable: Sequence[Path], own: Sequence[Path]) -> LockdownRecord:
    """Take from the user sudo, and the right to change or connect to what is `reachable`; what was taken before.

    Files and directories in directories that are the user's `own` stay as they are, and so do those directories. Best
    effort: the caller looks what is still in reach.
    """
    with places.lock():
        before = LockdownRecord.load(_note(places))
        try:
            _close(places, before, user, reachable, own)
        except BaseException:
            reopen(places, before)
            raise
        return before


def reopen(places: Paths, until: LockdownRecord | None = None) -> None:
    """Bring back what `close` took, but for what was taken before, `until`. The caller has the lock."""
    note, until = _note(places), until or LockdownRecord()
    done = LockdownRecord.load(note)
    sudoers.allow(user for user in done.users if user not in until.users)
    for name, closed in reversed(done.paths.items()):
        if name not in until.paths:
            _change(name, closed, closed.since, closed.before)
    for mount, boot in done.mounts.items():
        if mount not in until.mounts and boot == _boot() and _is_read_only(mount):
            _let_write(mount)
    if done.ptrace and not until.ptrace:
        _set_ptrace(done.ptrace)
    if until == LockdownRecord():
        note.unlink(missing_ok=True)
    else:
        record.save(until, note)


def _close(places: Paths, before: LockdownRecord, user: int, reachable: Sequence[Path], own: Sequence[Path]) -> None:
    others = [path for path in reachable if not path.is_relative_to(_READ_ONLY)]
    mounting = len(others) < len(reachable) and before.mounts.get(str(_READ_ONLY)) != _boot()
    closing = dict(_closing(others, own))
    again = {name for name, closed in closing.items() if _is_same(closed, before.paths.get(name))}
    done = LockdownRecord(
        paths={**before.paths, **{name: closed for name, closed in closing.items() if name not in again}},
        mounts={**before.mounts, str(_READ_ONLY): _boot()} if mounting else before.mounts,
        users=tuple(dict.fromkeys((*before.users, user))),
        ptrace=before.ptrace or _ptrace(),
    )
    record.save(done, _note(places))
    if mounting:
        _mount_read_only(_READ_ONLY)
    for name, closed in closing.items():
        _change(name, closed, closed.before, closed.since)
    if _ptrace() == "0":
        _set_ptrace("1")
    sudoers.deny(done.users)


def _closing(paths: Sequence[Path], own: Sequence[Path]) -> list[tuple[str, Closed]]:
    """What is to be changed, directories before what is in them. Root's alone where it is a device or a socket; else
    only not to be written by others."""
    found = []
    kept = [Path(os.path.realpath(directory)) for directory in own]
    for path in sorted({Path(os.path.realpath(path)) for path in paths}):
        with suppress(OSError), handle_of(path) as handle:
            status = os.fstat(handle)
            holds = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
            if holds and any(_is_in(path, directory) for directory in kept):
                continue
            mode = stat.S_IMODE(status.st_mode)
            since = (mode & ~0o022 if holds else 0o600, 0, 0)
            found.append((str(path), Closed(status.st_dev, status.st_ino, _rights(status), since)))
    return found


def _is_same(closed: Closed, other: Closed | None) -> bool:
    return other is not None and (closed.device, closed.number) == (other.device, other.number)


def _is_in(path: Path, directory: Path) -> bool:
    """A user whose home is / has it, and not all of the machine."""
    return path == directory or (directory != Path("/") and path.is_relative_to(directory))


def _change(name: str, closed: Closed, now: tuple[int, int, int], wanted: tuple[int, int, int]) -> None:
    """Nothing where another file lies by now, or where somebody else has changed this one."""
    with suppress(OSError), handle_of(Path(name)) as handle:
        status = os.fstat(handle)
        if (status.st_dev, status.st_ino) == (closed.device, closed.number) and _rights(status) == now:
            mode, uid, gid = wanted
            set_mode_of(handle, mode, (uid, gid))


def _ptrace() -> str:
    """Yama's setting; empty without Yama."""
    with suppress(OSError):
        return YAMA.read_text().strip()
    return ""


def _set_ptrace(value: str) -> None:
    with suppress(OSError), open_to_write(YAMA, 0o644) as file:
        file.write(value.encode())


def _rights(status: os.stat_result) -> tuple[int, int, int]:
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def _three(values: Sequence[int]) -> tuple[int, int, int]:
    mode, uid, gid = values
    return mode, uid, gid


def _mount_read_only(directory: Path) -> None:
    """Everything below at once, however much of it others may write."""
    for options in (["--rbind", str(directory)], ["-o", "remount,bind,ro"]):
        process.run(["mount", *options, str(directory)])


def _let_write(directory: str) -> None:
    """Take our mount away. It stays, and may be written, where somebody has mounted something below it since: that
    would go with it."""
    below = [words[4] for words in _mounted() if words[4].startswith(f"{directory}/")]
    if all(below.count(path) > 1 for path in below):  # one in what we mounted, and one beneath it
        process.run(["umount", "--lazy", directory])
    else:
        process.run(["mount", "-o", "remount,bind,rw", directory])


def _is_read_only(directory: str) -> bool:
    """Whether the last thing that was mounted there is only to be read, as ours is."""
    options = [words[5].split(",") for words in _mounted() if words[4] == directory]
    return bool(options) and "ro" in options[-1]


def _mounted() -> list[list[str]]:
    """Source: proc_pid_mountinfo(5)."""
    return [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def _boot() -> str:
    """What tells this boot from others: a mount is gone with its boot, and another may be in its place."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _note(places: Paths) -> Path:
    return places.state / "hardened.json"
