"""Entries of the queue in work, and the paths that each of them waits for.

An entry is finished when all its paths are settled. It stays here until it has left the queue, so that it is not
begun again by the same process. Not for two threads at once; `Ledger` locks it.
"""

from __future__ import annotations

from collections.abc import Collection

from ..nix.store import StorePath
from ..queue.entry import Entry
from ..system.dataclass import dataclass


@dataclass(slots=True)
class Pending:
    """An entry in work: its outputs, how many paths it still waits for, and the reason if one of them failed."""

    entry: Entry
    outputs: tuple[StorePath, ...]
    left: int
    reason: str = ""


class Entries:
    """Entries by their names, until `remove`."""

    def __init__(self) -> None:
        self.finished: list[Pending] = []
        self._pending: dict[str, Pending] = {}
        self._waiting: dict[str, list[Pending]] = {}  # by the path

    def __contains__(self, name: object) -> bool:
        return name in self._pending

    def copy(self) -> set[str]:
        return set(self._pending)

    def unfinished(self) -> set[str]:
        """Names of those that wait for a path."""
        return {name for name, pending in self._pending.items() if pending.left}

    def add(self, entry: Entry, outputs: tuple[StorePath, ...], waits_for: Collection[str], reason: str = "") -> None:
        """Take an entry, which has failed already if there is a reason. One that waits for nothing is finished."""
        self._pending[entry.name] = pending = Pending(entry, outputs, len(waits_for), reason)
        for path in waits_for:
            self._waiting.setdefault(path, []).append(pending)
        if not waits_for:
            self.finished.append(pending)

    def settle(self, path: str, reason: str) -> None:
        """Note that a path is settled, and the reason if it failed."""
        for pending in self._waiting.pop(path, ()):
            pending.left -= 1
            pending.reason = pending.reason or reason
            if not pending.left:
                self.finished.append(pending)

    def remove(self, name: str) -> None:
        del self._pending[name]
