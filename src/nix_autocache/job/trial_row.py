"""One thing that was tried with a cache."""

from __future__ import annotations

from ..system.dataclass import dataclass


@dataclass(frozen=True)
class Row:
    """`works` is None for what was not tried. `advice` is the one thing to do, or why it was not tried; with
    `is_warning`, jobs work without it."""

    what: str
    works: bool | None
    advice: str = ""
    is_warning: bool = False

    @property
    def word(self) -> str:
        return {True: "yes", False: "NO", None: "not tried"}[self.works]

    @property
    def fails(self) -> bool:
        return self.works is False and not self.is_warning
