"""Paths in work and the references that each of them waits for: what keeps the cache closed at every instant.

A path is *ready* when its archive is in the cache and the narinfos of all its references are visible. Only then may its
own narinfo be published. A graph knows no entries, threads, network or disk; `Ledger` locks it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Final

from ..nix.narinfo import Uploaded
from ..queue.outcomes import Outcome
from ..system.dataclass import dataclass, field

VISIBLE: Final = frozenset({"pushed", "signed", "realised", "present", "upstream"})
_REFERS: Final = "refers to "


@dataclass(slots=True)
class _Node:
    """A path in work. `waiting` counts its references that are in work, too."""

    waiting: int = 0
    dependents: list[str] = field(default_factory=list)
    uploaded: Uploaded | None = None


class Graph:
    """Each path is first in work, then settled: visible to those who read the cache, or missing for a reason."""

    def __init__(self) -> None:
        self._in_work: dict[str, _Node] = {}
        self._visible: set[str] = set()
        self._missing: dict[str, Outcome] = {}
        self._ready: list[Uploaded] = []

    def __len__(self) -> int:
        """How many paths are in work."""
        return len(self._in_work)

    def __contains__(self, path: object) -> bool:
        """Whether a path is in work or settled. Needs no lock."""
        return path in self._in_work or path in self._visible or path in self._missing

    def is_in_work(self, path: str) -> bool:
        return path in self._in_work

    def add(self, path: str, uploaded: Uploaded | None = None) -> None:
        """Take a path into work. `link` must follow, once all that it refers to was added."""
        self._in_work[path] = _Node(uploaded=uploaded)

    def link(self, path: str, references: Collection[str]) -> list[Outcome]:
        """Let a path wait for its references. Returns what that settles: a path whose reference is missing is, too."""
        node = self._in_work.get(path)
        if node is None:
            return []
        for reference in references:
            if reference == path:
                continue
            if referred := self._in_work.get(reference):
                node.waiting += 1
                referred.dependents.append(path)
            elif missing := self.missing(reference):
                return self.settle(_refers(path, missing))
        self._note_if_ready(node)
        return []

    def upload(self, uploaded: Uploaded) -> None:
        """Note that the archive of a path is in the cache."""
        node = self._in_work.get(uploaded.path)
        if node and not node.uploaded:
            node.uploaded = uploaded
            self._note_if_ready(node)

    def settle(self, outcome: Outcome) -> list[Outcome]:
        """Note what became of a path. Returns all that is settled by that, the path itself first, none of them twice.

        Of a missing path everything is missing that refers to it.
        """
        settled, todo = [], deque([outcome])
        while todo:
            outcome = todo.popleft()
            node = self._in_work.pop(outcome.path, None)
            if outcome.path in self._visible or outcome.path in self._missing:
                continue
            settled.append(outcome)
            dependents = node.dependents if node else []
            if outcome.what in VISIBLE:
                self._visible.add(outcome.path)
                self._release(dependents)
            else:
                self._missing[outcome.path] = outcome
                todo.extend(_refers(path, outcome) for path in dependents)
        return settled

    def missing(self, path: str) -> Outcome | None:
        """Why a path that is not in work is not visible; None if it is. One that no plan told us of has failed."""
        if path in self._visible:
            return None
        return self._missing.get(path) or Outcome(path, "failed", reason="nothing is known of it")

    def take_ready(self) -> list[Uploaded]:
        """What may be published since the last call."""
        if not self._ready:
            return []
        ready = [each for each in self._ready if each.path in self._in_work]
        self._ready = []
        return ready

    def forget(self, path: str) -> None:
        """Let a settled path be added once more."""
        self._visible.discard(path)
        self._missing.pop(path, None)

    def forget_failures(self) -> None:
        """Let what failed be added once more."""
        self._missing = {path: outcome for path, outcome in self._missing.items() if outcome.what != "failed"}

    def forget_settled(self) -> None:
        self._visible, self._missing = set(), {}

    def _release(self, dependents: list[str]) -> None:
        for path in dependents:
            if node := self._in_work.get(path):
                node.waiting -= 1
                self._note_if_ready(node)

    def _note_if_ready(self, node: _Node) -> None:
        if node.uploaded and not node.waiting:
            self._ready.append(node.uploaded)


def follows(outcome: Outcome) -> bool:
    """Whether it is the outcome of a reference, passed on."""
    return outcome.reason.startswith(_REFERS)


def _refers(path: str, missing: Outcome) -> Outcome:
    """The outcome of a path that refers to a missing one."""
    reason = missing.reason if follows(missing) else f"{_REFERS}{missing.path}: {missing.reason}"
    return Outcome(path, missing.what, reason=reason)
