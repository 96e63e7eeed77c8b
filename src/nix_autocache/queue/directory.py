"""The queue, which is a directory: builds that are not yet known to be in the cache.

The hook writes an entry into `new/` for each build, see `entry`. `failed/` has the entries that could not be pushed;
the next flush tries them again. `outcomes` records the result for each path. Anything else in these directories, such
as links and garbage, is left alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from ..nix import base32
from ..nix.store import StorePath
from ..system.files import make_directory, make_file, write, write_atomically
from ..system.locks import locked
from .entry import CANARY, Entry, build_time, is_entry, is_store_path, read_entry, read_failed
from .outcomes import Outcome, Outcomes


class Queue:
    """The queue in `directory`. Many processes may read it; the one that holds `lock()` drains it.

    `roots` is the directory below Nix's gcroots where the hook makes a file for each output that waits.
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
        """Hold the right to drain. Yields False if another process still has it after `patience` seconds."""
        with locked(self.directory / "lock", patience) as held:
            yield held

    def names(self, taken: Container[str] = ()) -> Iterator[str]:
        """The names of entries in `new/` that are not `taken`, in no order."""
        with suppress(FileNotFoundError), os.scandir(self.new) as found:
            for item in found:
                if item.name not in taken and is_entry(item):
                    yield item.name

    def take(self, taken: Container[str] = (), *, limit: int = 1000) -> list[Entry]:
        """At most `limit` finished entries that are not `taken`."""
        entries = (read_entry(self.new / name) for name in self.names(taken))
        return list(islice((entry for entry in entries if entry), limit))

    def add(self, name: str, outputs: Iterable[str]) -> None:
        """Add an entry as the hook does."""
        write_atomically(self.new / name, "".join(f"{path}\n" for path in (*outputs, ".")), 0o644)

    def add_paths(self, paths: Sequence[StorePath], together: int) -> None:
        """Add paths that no build put there, so many in an entry, which is finished as a whole.

        Its name tells it from all others, also from one of the same first path; nor is it that of a derivation, which
        would say that Nix built what is in it.
        """
        for start in range(0, len(paths), together):
            group = paths[start : start + together]
            digest = hashlib.sha256("\n".join(group).encode()).digest()
            self.add(f"{base32.encode(digest[:20])}-paths", group)

    def protect(self, outputs: Iterable[str]) -> None:
        """Make outputs garbage collection roots, if Nix did not pass them to the hook.

        A regular file with the name of a store path is a root (findRoots in src/libstore/gc.cc of Nix).
        """
        for root in self._roots(outputs):
            with suppress(OSError):
                make_file(root, 0o644)

    def done(self, entry: Entry, outputs: Iterable[str] = ()) -> bool:
        """Remove an entry and the roots of its `outputs`. False if the entry cannot be removed."""
        try:
            (self.new / entry.name).unlink(missing_ok=True)
        except OSError:  # a read-only file system: the next drain finds its paths in the cache
            return False
        self._release(outputs)
        return True

    def fail(self, entry: Entry, reason: str) -> bool:
        """Move an entry to `failed/` with the reason, until `retry_failed`. False if it cannot be moved."""
        lines = (*entry.outputs, ".", reason)
        aside = self.failed / entry.name
        try:
            write(aside, "".join(f"{line}\n" for line in lines).encode(errors="replace"), 0o644)
            with suppress(FileNotFoundError):  # an entry keeps the time of its build
                built = (self.new / entry.name).stat().st_mtime
                os.utime(aside, (built, built))
        except OSError:
            return self._fail_without_reason(entry)
        return self.done(entry)

    def _fail_without_reason(self, entry: Entry) -> bool:
        """A full disk has no space for the reason, but the entry can be moved."""
        try:
            (self.new / entry.name).replace(self.failed / entry.name)
        except OSError:
            return False
        return True

    def give_up(self, before: float) -> None:
        """Remove failed entries of builds before that time, and the roots of their outputs."""
        with suppress(OSError), os.scandir(self.failed) as found:
            for item in found:
                with suppress(OSError):  # the others are removed even if one cannot be
                    if is_entry(item) and item.stat(follow_symlinks=False).st_mtime < before:
                        entry = read_entry(Path(item.path))
                        Path(item.path).unlink(missing_ok=True)
                        self._release(entry.outputs if entry else ())

    def _release(self, outputs: Iterable[str]) -> None:
        for root in self._roots(outputs):
            with suppress(OSError, ValueError):  # a name with a NUL is a ValueError
                root.unlink(missing_ok=True)

    def retry_failed(self) -> int:
        """Move failed entries back to `new/`, and return their number. One that cannot be moved stays."""
        count = 0
        with suppress(OSError), os.scandir(self.failed) as found:
            for item in found:
                with suppress(OSError):
                    if is_entry(item):
                        (self.failed / item.name).rename(self.new / item.name)
                        count += 1
        return count

    def set_aside(self, since: float) -> Iterator[Outcome]:
        """The failed entries of builds since that time, with the reason."""
        with suppress(OSError), os.scandir(self.failed) as found:
            for item in found:
                if is_entry(item) and build_time(item) >= since:
                    outputs, reason = read_failed(Path(item.path))
                    for path in [output for output in outputs if is_store_path(output)] or [item.name]:
                        yield Outcome(path, "failed", reason=reason)

    def failures(self) -> int:
        """The number of failed entries."""
        with suppress(OSError), os.scandir(self.failed) as found:
            return sum(map(is_entry, found))
        return 0

    def take_canary(self, nonce: str) -> bool:
        """True if the canary with this nonce arrived. It is removed, unless the queue belongs to another user."""
        found = [path for path in self.new.iterdir() if CANARY in path.name and nonce in path.name]
        for path in found:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return bool(found)

    def _roots(self, outputs: Iterable[str]) -> list[Path]:
        return [self.roots / output.rpartition("/")[2] for output in outputs] if self.roots else []
