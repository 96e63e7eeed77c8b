"""What we installed on this machine, noted before it is made, so that whatever ends us, `undo` finds it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..system import record

Kind = Literal["multi-user", "single-user"]


@dataclass(frozen=True, kw_only=True)
class InstallRecord:
    """`made` and `users` are what was not there before us; `complete` once Nix can be used.

    `kept` is what was in a store that no Nix knew any more, and `owner` its mode and numbers; None for any other.
    """

    kind: Kind
    made: tuple[str, ...]
    users: tuple[str, ...] = ()
    group: bool = False
    complete: bool = False
    kept: tuple[str, ...] | None = None
    owner: tuple[int, int, int] | None = None

    def also(self, earlier: InstallRecord | None) -> InstallRecord:
        """This, and what an earlier attempt noted."""
        if earlier is None:
            return self
        return dataclasses.replace(
            self,
            made=_union(earlier.made, self.made),
            users=_union(earlier.users, self.users),
            group=earlier.group or self.group,
            kept=earlier.kept,
            owner=earlier.owner,
        )

    def save(self, path: Path) -> None:
        record.save(self, path)

    @classmethod
    def load(cls, path: Path) -> InstallRecord | None:
        """None where we installed nothing."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
