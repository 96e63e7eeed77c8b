"""A directory of packages, found or made from locks with every hash checked, and kept between jobs.

Standard library only: this runs before any package is there. A directory is used only if nobody with fewer rights could
have put it there, see `files.is_only_of`.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...errors import RunnerError, one_line
from ...system import files
from ...system.dataclass import dataclass
from ...system.probe import forbids_programs

PRIVATE: Final = "nix-autocache-"
"""Begins the name of a directory that only this user may enter."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Packages from `locks`, in the directory `name` of one of `homes`; `others` are only looked through.

    With `anywhere`, a new temporary directory is the last resort.
    """

    name: str
    locks: tuple[Path, ...]
    homes: tuple[Path, ...]
    others: tuple[Path, ...] = ()
    anywhere: bool = False

    @property
    def directory(self) -> Path | None:
        """None if it must be made first."""
        return next((home / self.name for home in (*self.others, *self.homes) if is_usable(home / self.name)), None)

    def temporary_home(self) -> Path:
        """A new directory, as the last resort. Raises RunnerError where none may be made."""
        try:
            if self.anywhere:
                import tempfile

                return Path(tempfile.mkdtemp(prefix=PRIVATE))
            reason = "it must be writable, let programs run, and belong to nobody else"
        except OSError as error:
            reason = one_line(error)
        named = " nor ".join(map(str, self.homes))
        raise RunnerError(f"no directory for the packages of nix-autocache: neither {named} can be used: {reason}")


def is_usable_home(home: Path) -> bool:
    """Whether packages can be put there and run. Makes the directory if it can be made."""
    with suppress(OSError):
        files.make_directory(home, 0o700 if home.name.startswith(PRIVATE) else 0o755)
        return os.access(home, os.W_OK | os.X_OK) and is_usable(home)
    return False


def is_usable(directory: Path) -> bool:
    """Whether the directory is ours, and on a file system that lets programs run."""
    if not files.is_only_of(directory, trusted_users()):
        return False
    return not forbids_programs(directory)


def trusted_users() -> Collection[int]:
    """The users whose files we run, beside root: this user, and the owner of this program, which runs anyway."""
    return {os.geteuid(), Path(__file__).stat().st_uid}
