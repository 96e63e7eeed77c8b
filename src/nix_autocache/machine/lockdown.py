"""Take root from a job's user until `undo`: sudo, and every path that was found to be in the user's reach.

Run by root, through `root_helper`. A change is recorded before it is made, and undone only where it is still as we
made it: the machine's owner may have changed it since. Standard library only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final, TypeAlias

from ..system import record
from ..system.dataclass import dataclass, field, replace
from ..system.files import handle_of, open_to_write, set_mode_of
from ..trust.memory import YAMA
from . import journal, read_only_usr, sudoers
from .paths import Paths
from .state_directory import locked

Rights: TypeAlias = tuple[int, int, int]
"""Mode, user and group."""
_ONLY_ROOT: Final = (0o600, 0, 0)


@dataclass(frozen=True)
class Closed:
    """A file by device and inode number, the rights that it had, and those that we gave it."""

    device: int
    number: int
    before: Rights
    since: Rights

    def is_same_file(self, other: Closed | None) -> bool:
        return other is not None and (self.device, self.number) == (other.device, other.number)


@dataclass(frozen=True, kw_only=True)
class LockdownRecord:
    """What was changed: paths, mounts with their boot's id, the users that sudo refuses, and what Yama's setting was
    (empty if it was not recorded)."""

    paths: Mapping[str, Closed] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    users: tuple[int, ...] = ()
    ptrace: str = ""

    @classmethod
    def load(cls, path: Path) -> LockdownRecord:
        try:
            return record.loads(cls, path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()


@dataclass(frozen=True)
class Lockdown(journal.Change):
    """Root was taken from users. A record of its own has the details, since a job that fails undoes only its part."""

    kind: ClassVar[str] = "lockdown"

    def undo(self, paths: Paths) -> None:
        reopen(paths)


def close(paths: Paths, user: int, reachable: Sequence[Path], own: Sequence[Path]) -> LockdownRecord:
    """Take from a user sudo, and the right to change or connect to what is `reachable`. Returns the record before.

    Directories that are the user's `own` stay as they are, with the files and directories in them. Best effort: the
    caller checks what is still in reach.
    """
    with locked(paths):
        before = LockdownRecord.load(_record_path(paths))
        try:
            _close(paths, before, user, reachable, own)
        except BaseException:
            reopen(paths, before)
            raise
        return before


def reopen(paths: Paths, until: LockdownRecord | None = None) -> None:
    """Undo what `close` did since the record was `until`; everything without it. The caller holds the lock."""
    record_path, until = _record_path(paths), until or LockdownRecord()
    done = LockdownRecord.load(record_path)
    sudoers.allow(user for user in done.users if user not in until.users)
    for name, closed in reversed(list(done.paths.items())):
        if name not in until.paths:
            _change(name, closed, closed.since, closed.before)
    for mount, boot in done.mounts.items():
        if mount not in until.mounts and boot == read_only_usr.boot():
            read_only_usr.unmount(mount)
    if done.ptrace and not until.ptrace:
        _set_ptrace(done.ptrace)
    if until == LockdownRecord():
        record_path.unlink(missing_ok=True)
    else:
        record.save(until, record_path)


def _close(paths: Paths, before: LockdownRecord, user: int, reachable: Sequence[Path], own: Sequence[Path]) -> None:
    elsewhere = [path for path in reachable if not path.is_relative_to(read_only_usr.USR)]
    closing = _closing(elsewhere, own)
    fresh = {name: closed for name, closed in closing.items() if not closed.is_same_file(before.paths.get(name))}
    done = replace(
        before,
        paths={**before.paths, **fresh},
        users=tuple(dict.fromkeys((*before.users, user))),
        ptrace=before.ptrace or _ptrace(),
    )
    usr, boot = str(read_only_usr.USR), read_only_usr.boot()
    mounting = len(elsewhere) < len(reachable) and before.mounts.get(usr) != boot
    if mounting:
        done = replace(done, mounts={**before.mounts, usr: boot})
    journal.record(paths, Lockdown())
    record.save(done, _record_path(paths))
    if mounting:
        read_only_usr.mount()
    for name, closed in closing.items():
        _change(name, closed, closed.before, closed.since)
    if _ptrace() == "0":
        _set_ptrace("1")
    sudoers.deny(done.users)


def _closing(paths: Sequence[Path], own: Sequence[Path]) -> dict[str, Closed]:
    """The files to change, directories before what is in them.

    A device or a socket becomes root's alone; others lose only the right to write files and directories.
    """
    found = {}
    excepted = [Path(os.path.realpath(directory)) for directory in own]
    for path in sorted({Path(os.path.realpath(path)) for path in paths}):
        with suppress(OSError), handle_of(path) as handle:
            status = os.fstat(handle)
            holds_data = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
            if holds_data and any(_is_in(path, directory) for directory in excepted):
                continue
            since = (stat.S_IMODE(status.st_mode) & ~0o022, 0, 0) if holds_data else _ONLY_ROOT
            found[str(path)] = Closed(status.st_dev, status.st_ino, _rights_of(status), since)
    return found


def _is_in(path: Path, directory: Path) -> bool:
    """A user whose home is / owns /, but not the whole machine."""
    return path == directory or (directory != Path("/") and path.is_relative_to(directory))


def _change(name: str, closed: Closed, now: Rights, wanted: Rights) -> None:
    """Change a file's rights; nothing if another file is there by now, or if somebody else changed this one."""
    with suppress(OSError), handle_of(Path(name)) as handle:
        status = os.fstat(handle)
        if (status.st_dev, status.st_ino) == (closed.device, closed.number) and _rights_of(status) == now:
            mode, uid, gid = wanted
            set_mode_of(handle, mode, (uid, gid))


def _rights_of(status: os.stat_result) -> Rights:
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def _ptrace() -> str:
    """Yama's setting; empty without Yama."""
    with suppress(OSError):
        return YAMA.read_text().strip()
    return ""


def _set_ptrace(value: str) -> None:
    with suppress(OSError), open_to_write(YAMA, 0o644) as file:
        file.write(value.encode())


def _record_path(paths: Paths) -> Path:
    return paths.state / "hardened.json"
