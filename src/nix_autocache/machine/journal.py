"""The undo journal: what we changed on this machine, one line of JSON for each change, written before the change.

`undo` undoes them from the last to the first, each with `Change.undo` of the module that made it. We may be killed
between record and change, or during `undo`: undoing must not mind what is not there, and may run again.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import ClassVar

from ..errors import RunnerError
from ..system import record as codec
from ..system.dataclass import asdict, dataclass
from ..system.files import open_to_append
from .paths import Paths


@dataclass(frozen=True)
class Change(ABC):
    """A change that `undo` undoes. Fields hold what JSON holds; `kind` is the change's name in the journal."""

    kind: ClassVar[str]

    @abstractmethod
    def undo(self, paths: Paths) -> None:
        """Undo it. The caller holds the lock of `paths`."""


def record(paths: Paths, change: Change) -> None:
    """Write a change to the journal, unless the same one is there. The caller holds the lock of `paths`."""
    text = json.dumps({"kind": change.kind, **asdict(change)})
    lines = _lines(paths)
    if text in lines:
        return
    with open_to_append(paths.journal, 0o644) as file:
        # A full disk may have cut the line before. Its change was never made.
        file.write(("\n" if lines and lines[-1] else "").encode() + text.encode() + b"\n")


def is_recorded(paths: Paths, kind: type[Change]) -> bool:
    return any(name == kind.kind for name, _ in _entries(paths))


def read(paths: Paths, kinds: Mapping[str, type[Change]]) -> list[Change]:
    """The changes, the first one first. Raises RunnerError for a kind that is not among `kinds`."""
    changes = []
    for name, line in _entries(paths):
        if name not in kinds:
            raise RunnerError(f"{paths.journal}: a newer nix-autocache recorded {name!r}; run `undo` with that version")
        changes.append(codec.loads(kinds[name], line))
    return changes


def _entries(paths: Paths) -> Iterator[tuple[str, str]]:
    """The kind and the line of each change. A line that was cut is skipped."""
    for line in _lines(paths):
        with suppress(ValueError):
            yield json.loads(line)["kind"], line


def _lines(paths: Paths) -> list[str]:
    """What is between line breaks: after a whole line, the last one is empty."""
    try:
        return paths.journal.read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return []
