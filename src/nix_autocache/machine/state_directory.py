"""The directory with our state: made and locked by `locked`, removed by `undo`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from ..errors import RunnerError
from ..system import locks
from ..system.dataclass import dataclass
from ..system.files import close_to_others, make_directory
from ..system.trees import remove_tree
from . import journal
from .paths import Paths


@dataclass(frozen=True)
class MadeDirectories(journal.Change):
    """Our state, and the directories above it and above nix.conf that were missing, the deepest first."""

    kind: ClassVar[str] = "directories"
    around: tuple[str, ...] = ()

    def undo(self, paths: Paths) -> None:
        remove_tree(paths.state)
        for directory in self.around:
            with suppress(OSError):  # somebody else uses it by now
                Path(directory).rmdir()


@contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """Wait until no other process changes `paths`, and keep others waiting. Makes the state directory.

    Raises RunnerError where it cannot be made.
    """
    while True:
        missing = _missing(paths)
        _make(paths)
        with locks.locked(paths.state / "lock") as held:
            if not held:  # an `undo` removed it while we waited
                continue
            if missing or not journal.is_recorded(paths, MadeDirectories):
                journal.record(paths, MadeDirectories(missing))
            yield
            return


def _missing(paths: Paths) -> tuple[str, ...]:
    if paths.state.exists():
        return ()
    around = (paths.nix_conf, *paths.nix_conf.parents, *paths.state.parents)
    missing = {path for path in around if not path.exists()}
    return tuple(str(path) for path in sorted(missing, key=lambda path: (-len(path.parts), path)))


def _make(paths: Paths) -> None:
    try:
        if not make_directory(paths.state, 0o755):
            close_to_others(paths.state)
    except OSError as error:
        raise RunnerError(
            f"cannot make {paths.state}: {error.strerror}; set HOME to a directory that belongs to this user"
        ) from None
