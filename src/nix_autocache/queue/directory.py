"""The directory that is the queue: what was built and is not yet known to be in the cache.

`new/` holds a file per derivation, written by `queue/hook.sh`: output paths, one a line, and a last line `.`;
without that line it is still being written. `failed/` holds what could not be pushed, the reason after the
`.`, and is tried again at the next flush. What became of every path is in `outcomes`.
Whatever else lies there, links and garbage included, was not written by the hook and is left alone.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from ..system.files import make_directory, make_file, write, write_atomically
from ..system.locks import locked
from .outcomes import Outcome, Outcomes

CANARY: Final = "nix-autocache-canary"
MAX_ENTRY: Final = 1 << 20  # bytes; a derivation has a handful of outputs of some 100 bytes each
TORN_AFTER: Final = 5.0  # seconds: the hook writes an entry in well under one

_ENTRY_NAME = re.compile(r"[0-9abcdfghijklmnpqrsvwxyz]{32}-[0-9a-zA-Z+._?=-]{1,211}")


@dataclass(frozen=True, slots=True)
class Entry:
    """What the hook noted of one build. `outputs` is empty where Nix did not tell the hook."""

    name: str
    outputs: tuple[str, ...]


class Queue:
    """The queue in `directory`, made with `create`. Several may read it; one at a time holds `lock()` and drains.

    `roots` is the directory below Nix's gcroots where the hook leaves a file per output that waits.
    """

    def __init__(self, directory: Path, roots: Path | None = None) -> None:
        self.directory = directory
        self.roots = roots
        self.new = directory / "new"
        self.failed = directory / "failed"
        self.outcomes = Outcomes(directory)

    def create(self) -> None:
        for directory in (self.new, self.failed):
            make_directory(directory, 0o755)

    @contextmanager
    def lock(self, patience: float = 0.0) -> Iterator[bool]:
        """Hold the right to drain, given up when the process ends however it ends.

        Yields False if another has it for more than `patience` seconds from now.
        """
        with locked(self.directory / "lock", patience) as held:
            yield held

    def names(self, taken: Container[str] = ()) -> Iterator[str]:
        """The names in `new/` that can be entries of builds and are not `taken`, in no order."""
        with suppress(FileNotFoundError), os.scandir(self.new) as found:
            for item in found:
                if item.name not in taken and _is_entry(item):
                    yield item.name

    def take(self, taken: Container[str] = (), *, limit: int = 1000) -> list[Entry]:
        """At most `limit` finished entries that are not `taken`."""
        entries = (self._read(name) for name in self.names(taken))
        return list(islice((entry for entry in entries if entry), limit))

    def add(self, name: str, outputs: Iterable[str]) -> None:
        """Note a path by hand, as the hook would."""
        write_atomically(self.new / name, "".join(f"{path}\n" for path in (*outputs, ".")), 0o644)

    def protect(self, outputs: Iterable[str]) -> None:
        """Make outputs garbage collection roots, where the hook was not told them and so could not.

        A regular file named as a store path is a root (findRoots in src/libstore/gc.cc of Nix).
        """
        for root in self._roots(outputs):
            with suppress(OSError):
                make_file(root, 0o644)

    def done(self, entry: Entry, outputs: Iterable[str] = ()) -> bool:
        """Forget an entry, and let its `outputs` be collected; whether that was possible."""
        try:
            (self.new / entry.name).unlink(missing_ok=True)
        except OSError:  # a read-only file system: the next drain finds its paths in the cache
            return False
        self._release(outputs)
        return True

    def fail(self, entry: Entry, reason: str) -> bool:
        """Set an entry aside with the reason, until `retry_failed`; whether that was possible."""
        lines = (*entry.outputs, ".", reason)
        aside = self.failed / entry.name
        try:
            write(aside, "".join(f"{line}\n" for line in lines).encode(errors="replace"), 0o644)
            self._keep_time(entry, aside)
        except OSError:
            return self._fail_in_silence(entry)
        return self.done(entry)

    def _fail_in_silence(self, entry: Entry) -> bool:
        """On a full disk there is no room for the reason, but for the entry there is: it only moves."""
        try:
            (self.new / entry.name).replace(self.failed / entry.name)
        except OSError:
            return False
        return True

    def _keep_time(self, entry: Entry, aside: Path) -> None:
        """An entry is as old as its build, however often it fails."""
        with suppress(FileNotFoundError):
            built = (self.new / entry.name).stat().st_mtime
            os.utime(aside, (built, built))

    def give_up(self, before: float) -> None:
        """Forget what failed of builds before that time, and let it be collected."""
        with suppress(OSError), os.scandir(self.failed) as found:
            for item in found:
                with suppress(OSError):  # one that cannot be removed does not keep the others
                    if _is_entry(item) and item.stat(follow_symlinks=False).st_mtime < before:
                        lines = _read_regular(self.failed / item.name)[0].split("\n")
                        Path(item.path).unlink(missing_ok=True)
                        self._release(lines[: lines.index(".")] if "." in lines else ())

    def _release(self, outputs: Iterable[str]) -> None:
        for root in self._roots(outputs):
            with suppress(OSError, ValueError):  # a name with a NUL is a ValueError
                root.unlink(missing_ok=True)

    def retry_failed(self) -> int:
        """Put what failed earlier back in line; how many. An entry that cannot be moved stays, and keeps no other."""
        count = 0
        with suppress(OSError), os.scandir(self.failed) as found:
            for item in found:
                with suppress(OSError):
                    if _is_entry(item):
                        (self.failed / item.name).rename(self.new / item.name)
                        count += 1
        return count

    def set_aside(self, since: float) -> Iterator[Outcome]:
        """What failed of the builds since that time, with the reason."""
        with suppress(OSError), os.scandir(self.failed) as found:
            for item in found:
                if _is_entry(item) and _built(item) >= since:
                    lines = _read_regular(self.failed / item.name)[0].split("\n")
                    end = lines.index(".") if "." in lines else len(lines)
                    reason = " ".join(lines[end + 1 :]).strip()
                    for path in [line for line in lines[:end] if _is_named(line)] or [item.name]:
                        yield Outcome(path, "failed", reason=reason)

    def failures(self) -> int:
        """How many entries failed."""
        with suppress(OSError), os.scandir(self.failed) as found:
            return sum(map(_is_entry, found))
        return 0

    def take_canary(self, nonce: str) -> bool:
        """Whether the canary with this nonce arrived; it is removed, unless the queue is another user's."""
        found = [path for path in self.new.iterdir() if CANARY in path.name and nonce in path.name]
        for path in found:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return bool(found)

    def _roots(self, outputs: Iterable[str]) -> list[Path]:
        return [self.roots / output.rpartition("/")[2] for output in outputs] if self.roots else []

    def _read(self, name: str) -> Entry | None:
        text, age = _read_regular(self.new / name)
        lines = text.split("\n")
        if "." in lines:
            return Entry(name, tuple(lines[: lines.index(".")]))
        # The disk was full, or the hook was killed: the name says what was built, the store knows the rest.
        # Time may go back: an entry of the future would be waited for.
        return Entry(name, ()) if abs(age) > TORN_AFTER else None


def _is_entry(item: os.DirEntry[str]) -> bool:
    return (
        _ENTRY_NAME.fullmatch(item.name) is not None and CANARY not in item.name and item.is_file(follow_symlinks=False)
    )


def _read_regular(path: Path) -> tuple[str, float]:
    """The text of a regular file and its age in seconds; nothing and 0 for anything else that may lie there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return "", _age(path)  # one that may not be read is not waited for
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return "", 0.0
        try:
            return file.read(MAX_ENTRY).decode("utf-8", "replace"), time.time() - status.st_mtime
        except OSError:  # the disk has lost it
            return "", time.time() - status.st_mtime


def _age(path: Path) -> float:
    """How old a regular file is, in seconds; 0 for anything else."""
    with suppress(OSError):
        status = path.lstat()
        return time.time() - status.st_mtime if stat.S_ISREG(status.st_mode) else 0.0
    return 0.0


def _built(item: os.DirEntry[str]) -> float:
    """When an entry was built, in seconds since 1970; 0 where it is gone."""
    try:
        return item.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0


def _is_named(line: str) -> bool:
    """Whether a line of an entry can be a store path: what reports print is nothing else."""
    return line.startswith("/") and _ENTRY_NAME.fullmatch(line.rpartition("/")[2]) is not None and line.isprintable()
