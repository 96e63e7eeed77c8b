"""The state of a drain: which paths are in work, what each waits for, what became of them, and so of the entries.

For one thread at a time; knows no threads, no network and no disk. A path is *ready* when its archive is in the cache
and the narinfos of all its references are visible: only then may its own be published.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Final

from ..nix.narinfo import Brought
from ..nix.realisation import Realisation
from ..nix.store import PathInfo, StorePath
from ..queue.directory import Entry
from ..queue.outcomes import Outcome
from .plan import Plan

GOOD: Final = frozenset({"pushed", "signed", "realised", "present", "upstream"})


@dataclass(slots=True)
class _Node:
    """A path in work. `waiting` counts the references that are not in the cache yet."""

    info: PathInfo
    waiting: int = 0
    dependents: list[StorePath] = field(default_factory=list)
    brought: Brought | None = None


@dataclass(slots=True)
class Pending:
    """An entry in work: its outputs, how many are not settled yet, and what went wrong with one."""

    entry: Entry
    outputs: tuple[StorePath, ...]
    left: int
    reason: str = ""


class Ledger:
    """What is in work and what is settled. `records` and `finished` are for the caller to take away."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.pushed_bytes = 0
        self.pending: dict[str, Pending] = {}
        self.records: list[Outcome] = []
        self.finished: list[Pending] = []
        self._nodes: dict[StorePath, _Node] = {}
        self._settled: dict[str, Outcome | None] = {}  # None for what is in the cache; else why it is not
        self._awaited: dict[StorePath, list[Pending]] = {}
        self._ready: list[Brought] = []

    @property
    def in_work(self) -> int:
        return len(self._nodes)

    @property
    def known(self) -> Container[str]:
        """Paths that are in work or settled."""
        return _Known(self)

    def admit(
        self, entries: Iterable[Entry], planned: Plan, realise: Callable[[Realisation], Brought | None]
    ) -> list[PathInfo]:
        """Take entries into work; the paths to bring to the cache, those that others refer to first.

        A realisation is a path here, too, one that refers to the path that it names and needs no archive.
        """
        for outcome in planned.settled:
            self.settle(StorePath(outcome.path), outcome)
        for info in planned.candidates:
            self._nodes[info.path] = _Node(info)
        realised = {entry.name: self._realised(planned.realised[entry.name], realise) for entry in entries}
        for entry in entries:
            self._await_outputs(entry, planned.outputs[entry.name], [info.path for info in realised[entry.name]])
        for info in (*planned.candidates, *(info for infos in realised.values() for info in infos)):
            self._link(info)
        return [info for info in reversed(planned.candidates) if info.path in self._nodes]

    def reject(self, entry: Entry, reason: str) -> None:
        """Take an entry that cannot be planned: it is finished, with the reason."""
        self.pending[entry.name] = pending = Pending(entry, (), left=0, reason=reason)
        self.finished.append(pending)

    def give_up(self, entries: Iterable[Entry], planned: Plan, reason: str) -> None:
        """Undo an admission that failed half-way: its paths and entries have failed."""
        for info in planned.candidates:
            self.settle(info.path, Outcome(info.path, "failed", reason=reason))
        for entry in entries:
            if entry.name not in self.pending:
                self.reject(entry, reason)

    def brought(self, brought: Brought) -> None:
        """The archive of a path is in the cache."""
        if node := self._nodes.get(brought.path):
            node.brought = brought
            self._note_if_ready(node)

    def settle(self, path: StorePath, outcome: Outcome) -> None:
        """Note what became of a path, and so of all that waited for it."""
        todo = deque([(path, outcome)])
        while todo:
            path, outcome = todo.popleft()
            node = self._nodes.pop(path, None)
            if path in self._settled:
                continue
            bad = None if outcome.what in GOOD else outcome
            self._settled[path] = bad
            self._count(outcome)
            for pending in self._awaited.pop(path, ()):
                self._finish_output(pending, bad)
            for dependent in node.dependents if node else ():
                if bad:
                    todo.append((dependent, _follows(dependent, bad)))
                elif waiting := self._nodes.get(dependent):
                    waiting.waiting -= 1
                    self._note_if_ready(waiting)

    def take_ready(self) -> list[Brought]:
        """What may be published since the last call."""
        ready, self._ready = self._ready, []
        return ready

    def forget_failures(self) -> None:
        """Let what failed be tried again."""
        self._settled = {path: bad for path, bad in self._settled.items() if not bad or bad.what != "failed"}

    def forget_settled(self) -> None:
        """Let all paths be looked for again: what is in the cache may go from there, and memory is not endless.

        Not between the plan of an entry and its admission, which asks for what the plan left out.
        """
        self._settled.clear()

    def _realised(
        self, found: Iterable[Realisation], realise: Callable[[Realisation], Brought | None]
    ) -> list[PathInfo]:
        infos = []
        for brought, path in ((realise(each), each.path) for each in found):
            if brought and brought.path not in self._nodes:
                info = PathInfo(brought.path, "", (path,), "", 0, "", ())
                self._settled.pop(info.path, None)  # it was built once more, and may be another path
                self._nodes[info.path] = _Node(info, brought=brought)
                infos.append(info)
        return infos

    def _await_outputs(self, entry: Entry, outputs: tuple[StorePath, ...], realised: list[StorePath]) -> None:
        pending = Pending(entry, outputs, left=len(outputs) + len(realised))
        self.pending[entry.name] = pending
        if not outputs:
            pending.reason, pending.left = "its derivation is not in the store any more", 1
            self._finish_output(pending, None)
        for output in (*outputs, *realised):
            if output in self._nodes:
                self._awaited.setdefault(output, []).append(pending)
            else:
                self._finish_output(pending, self._fate(output))

    def _link(self, info: PathInfo) -> None:
        """Wait for the references that are in work; what refers to a path that cannot be had shares its fate."""
        node = self._nodes.get(info.path)
        for reference in info.references if node else ():
            if reference == info.path or node is None:
                continue
            if reference in self._nodes:
                node.waiting += 1
                self._nodes[reference].dependents.append(info.path)
            elif bad := self._fate(reference):
                self.settle(info.path, _follows(info.path, bad))
                return
        if node:
            self._note_if_ready(node)

    def _fate(self, path: StorePath) -> Outcome | None:
        """None for what is in the cache; else why it is not. A plan that forgot a path does not make it a good one."""
        return self._settled.get(path, Outcome(path, "failed", reason="nothing is known of it"))

    def _note_if_ready(self, node: _Node) -> None:
        if node.brought and not node.waiting:
            self._ready.append(node.brought)

    def _count(self, outcome: Outcome) -> None:
        if outcome.what == "realised" or ("!" in outcome.path and outcome.reason.startswith("refers to ")):
            return  # of a realisation there is something to be said only where it fails by itself
        self.counts[outcome.what] += 1
        self.pushed_bytes += outcome.bytes
        self.records.append(outcome)

    def _finish_output(self, pending: Pending, bad: Outcome | None) -> None:
        """One output of an entry is settled; with the last one the entry is done, or failed with a reason."""
        pending.left -= 1
        if bad and bad.what == "failed":
            pending.reason = pending.reason or bad.reason
        if not pending.left:
            self.finished.append(pending)


class _Known:
    def __init__(self, ledger: Ledger) -> None:
        self._parts = (ledger._nodes, ledger._settled)

    def __contains__(self, path: object) -> bool:
        return any(path in part for part in self._parts)


def _follows(path: str, bad: Outcome) -> Outcome:
    """The outcome of a path that refers to one which did not get into the cache."""
    reason = bad.reason if bad.reason.startswith("refers to ") else f"refers to {bad.path}: {bad.reason}"
    return Outcome(path, bad.what, reason=reason)
