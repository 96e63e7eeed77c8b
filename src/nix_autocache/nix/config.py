"""nix.conf: an include file of ours beside it, and a line in it that includes the file.

Used once per machine and user; `remove` leaves nix.conf as it was, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import RunnerError

_MARK: Final = "# nix-autocache: `nix-autocache undo` removes this line and the next"
_MARK_GLUED: Final = f"{_MARK}, and the line break before"


@dataclass(frozen=True)
class Config:
    """A directory with a nix.conf: /etc/nix for the machine, ~/.config/nix for a user."""

    directory: Path

    @property
    def main(self) -> Path:
        return self.directory / "nix.conf"

    @property
    def include(self) -> Path:
        return self.directory / "nix-autocache.conf"

    def write(self, lines: Iterable[str], *, private: bool = False) -> bool:
        """Make Nix read these lines; whether anything changed. `private` hides them from other users.

        Raises RunnerError when the directory cannot be written.
        """
        text = "# written by nix-autocache; `nix-autocache undo` removes it\n" + "".join(f"{line}\n" for line in lines)
        if self._read(self.include) == text and self._included:
            return False
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            _replace(self.include, text, 0o600 if private else 0o644)
            if not self._included:
                before = self._read(self.main)
                glued = bool(before) and not before.endswith("\n")
                _replace(self.main, before + self._lines(glued=glued), 0o644)
        except OSError as error:
            raise RunnerError(
                f"cannot write {self.directory}: {error.strerror}; Nix must be told of the hook there"
            ) from None
        return True

    def remove(self) -> bool:
        """Take our lines out again; whether there were any."""
        before = self._read(self.main)
        after = before.replace(self._lines(glued=True), "").replace(self._lines(glued=False), "")
        if after != before:
            _replace(self.main, after, 0o644) if after else self.main.unlink()
        existed = self.include.exists()
        self.include.unlink(missing_ok=True)
        return existed or after != before

    def _lines(self, *, glued: bool) -> str:
        """What is added to nix.conf; glued to a last line that has no line break."""
        return f"\n{_MARK_GLUED}\n{self._include_line}" if glued else f"{_MARK}\n{self._include_line}"

    @property
    def _include_line(self) -> str:
        return f"!include {self.include}\n"

    @property
    def _included(self) -> bool:
        return self._include_line in self._read(self.main)

    @staticmethod
    def _read(path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return ""


def _replace(path: Path, text: str, mode: int) -> None:
    """Write a whole file at once: Nix may read it at any moment. A link is written through."""
    target = Path(os.path.realpath(path))
    mode = target.stat().st_mode & 0o777 if target.exists() else mode
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    fresh.rename(target)
