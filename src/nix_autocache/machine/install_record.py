"""The record of a Nix that we installed: how, and whether it is complete. The undo journal has what was made."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..system import record
from ..system.dataclass import dataclass

Kind = Literal["multi-user", "single-user"]


@dataclass(frozen=True, kw_only=True)
class InstallRecord:
    """`complete` is True once Nix can be used."""

    kind: Kind
    complete: bool = False

    def save(self, path: Path) -> None:
        record.save(self, path)

    @classmethod
    def load(cls, path: Path) -> InstallRecord | None:
        """None where we installed nothing."""
        try:
            return record.loads(cls, path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
