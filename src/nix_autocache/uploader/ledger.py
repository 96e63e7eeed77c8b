"""What is in work and what is settled: paths, and the entries of the queue that wait for them.

A monitor: the workers call it from any thread when they are done with a path, and it returns what may be published
next. It knows no network and no disk. `Graph` is the part that keeps the cache closed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TypeAlias

from ..errors import as_error, one_line
from ..nix.narinfo import Uploaded
from ..nix.store import PathInfo, StorePath
from ..queue.entry import Entry
from ..queue.outcomes import Outcome
from ..system import log
from .entries import Entries, Pending
from .graph import Graph, follows
from .plan import Plan
from .progress import Progress
from .unsealed import Sealed, Unsealed

Realised: TypeAlias = tuple[Uploaded, StorePath]
"""A realisation that can be published as soon as the path is visible that it names."""


class Ledger:
    """For any thread. `changed` is set when an entry is finished or nothing is in work: the drain waits for that.

    With `sealed`, a path that is in the cache is settled for those that refer to it, but not for its entries and in
    what is told of it before it is sealed.
    """

    def __init__(self, sealed: Sealed | None = None) -> None:
        self.changed = threading.Event()
        self._lock = threading.Lock()
        self._graph = Graph()
        self._entries = Entries()
        self._unsealed = Unsealed(sealed)
        self._outcomes: list[Outcome] = []
        self._counts: Counter[str] = Counter()
        self._pushed_bytes = 0

    @property
    def known(self) -> Container[str]:
        """Paths that are in work or settled."""
        return self._graph

    @property
    def in_work(self) -> int:
        with self._lock:
            return len(self._graph)

    @property
    def unsealed(self) -> int:
        """Paths that are in the cache, and not sealed."""
        with self._lock:
            return len(self._unsealed)

    def entries(self) -> set[str]:
        """Names of the entries that were taken and have not left the queue."""
        with self._lock:
            return self._entries.copy()

    def unfinished(self) -> set[str]:
        """Names of the entries that wait for a path."""
        with self._lock:
            return self._entries.unfinished()

    def progress(self) -> Progress:
        """How far it is with the entries that were taken."""
        with self._lock:
            return Progress(
                counts=dict(self._counts),
                pushed_bytes=self._pushed_bytes,
                waiting=len(self._graph) + len(self._unsealed),
                unsealed=len(self._unsealed),
            )

    def admit(self, planned: Plan, realised: Mapping[str, Sequence[Realised]]) -> tuple[list[PathInfo], list[Uploaded]]:
        """Take the entries of a plan into work, with the realisations of each by its name.

        Returns the paths whose archives the cache needs, those first that others refer to, and what may be published
        at once. A bug that breaks it off fails these entries and their paths: nothing waits for ever.
        """
        with self._lock:
            try:
                self._admit(planned, realised)
            except Exception as error:
                log.exception()
                self._give_up(planned, realised, one_line(as_error(error)))
            infos = [info for info in reversed(planned.candidates) if self._graph.is_in_work(info.path)]
            return infos, self._graph.take_ready()

    def reject(self, entries: Iterable[Entry], reason: str) -> None:
        """Take entries that cannot be planned: they are finished, with the reason."""
        with self._lock:
            for entry in entries:
                self._entries.add(entry, (), (), reason)

    def present(self, paths: Iterable[StorePath]) -> list[Uploaded]:
        """The cache has these paths already. This and the next four return what may be published now."""
        return self._settle(*(Outcome(path, "present") for path in paths))

    def uploaded(self, uploaded: Uploaded) -> list[Uploaded]:
        """The archive of a path is in the cache."""
        with self._lock:
            self._graph.upload(uploaded)
            return self._graph.take_ready()

    def published(self, uploaded: Uploaded) -> list[Uploaded]:
        """The narinfo of a path is visible."""
        return self._settle(Outcome(uploaded.path, uploaded.what, uploaded.size))

    def failed(self, path: StorePath, reason: str) -> list[Uploaded]:
        return self._settle(Outcome(path, "failed", reason=reason))

    def refused(self, path: StorePath, reason: str) -> list[Uploaded]:
        """The cache lets this job only read: the path is not pushed, and not tried again."""
        return self._settle(Outcome(path, "refused", reason=reason))

    def sealed(self) -> None:
        """The cache has sealed everything that was published."""
        with self._lock:
            for outcome in self._unsealed.take_all():
                self._record(outcome)

    def not_sealed(self, what: str, reason: str) -> None:
        """The cache has lost what it had not sealed, which so failed or was refused. Nothing may be in work: it could
        refer to that."""
        with self._lock:
            lost = self._unsealed.take_lost()
            for outcome in self._unsealed.take_all():
                self._record(outcome)
            for outcome in lost:
                missing = Outcome(outcome.path, what, reason=reason)
                self._graph.forget(outcome.path)
                self._graph.settle(missing)
                if outcome.what == "realised":  # it is reported with its path
                    self._entries.settle(outcome.path, reason if what == "failed" else "")
                else:
                    self._record(missing)

    def take_settled(self) -> tuple[list[Outcome], list[Pending]]:
        """Outcomes and finished entries since the last call."""
        with self._lock:
            for outcome in self._unsealed.take_sealed():
                self._record(outcome)
            settled = self._outcomes, self._entries.finished
            self._outcomes, self._entries.finished = [], []
            return settled

    def forget_entry(self, name: str) -> None:
        """An entry has left the queue. Until then it is not admitted again."""
        with self._lock:
            self._entries.remove(name)

    def forget_failures(self) -> None:
        """Let what failed be tried again."""
        with self._lock:
            self._graph.forget_failures()

    def forget_paths(self, paths: Iterable[str]) -> None:
        """These paths were visible, and are no more: they are looked for again when a new entry needs them."""
        with self._lock:
            for path in paths:
                self._graph.forget(path)

    def forget_settled(self) -> None:
        """Let all paths be looked for again: what is in the cache may go from there, and memory is not endless.

        Not between the plan of an entry and its admission, which asks for what the plan left out.
        """
        with self._lock:
            self._graph.forget_settled()

    def _settle(self, *outcomes: Outcome) -> list[Uploaded]:
        with self._lock:
            for outcome in outcomes:
                self._note(self._graph.settle(outcome))
            if self._entries.finished or not self._graph:
                self.changed.set()
            return self._graph.take_ready()

    def _admit(self, planned: Plan, realised: Mapping[str, Sequence[Realised]]) -> None:
        for outcome in planned.settled:
            self._note(self._graph.settle(outcome))
        for info in planned.candidates:
            self._graph.add(info.path)
        links: list[Realised] = []
        for entry in planned.entries:
            added = [each for each in realised[entry.name] if not self._graph.is_in_work(each[0].path)]
            for uploaded, _ in added:
                self._graph.forget(uploaded.path)  # it was built once more, and may have become another path
                self._graph.add(uploaded.path, uploaded)
            self._await(entry, planned.outputs[entry.name], [uploaded.path for uploaded, _ in added])
            links += added
        for info in planned.candidates:
            self._note(self._graph.link(info.path, info.references))
        for uploaded, path in links:
            self._note(self._graph.link(uploaded.path, [path]))

    def _await(self, entry: Entry, outputs: tuple[StorePath, ...], realised: Sequence[StorePath]) -> None:
        """Let an entry wait for its outputs that are in work, and for its realisations."""
        waits_for = [path for path in outputs if self._graph.is_in_work(path) or path in self._unsealed]
        missing = (self._graph.missing(path) for path in outputs if path not in waits_for)
        reasons = [outcome.reason for outcome in missing if outcome and outcome.what == "failed"]
        if not outputs:
            reasons = ["its derivation is not in the store any more"]
        self._entries.add(entry, outputs, [*waits_for, *realised], next(filter(None, reasons), ""))

    def _give_up(self, planned: Plan, realised: Mapping[str, Sequence[Realised]], reason: str) -> None:
        """Fail what was admitted in part."""
        paths = [info.path for info in planned.candidates]
        paths += [uploaded.path for found in realised.values() for uploaded, _ in found]
        for path in filter(self._graph.is_in_work, paths):
            self._note(self._graph.settle(Outcome(path, "failed", reason=reason)))
        for entry in planned.entries:
            if entry.name not in self._entries:
                self._entries.add(entry, (), (), reason)

    def _note(self, settled: Iterable[Outcome]) -> None:
        for outcome in self._unsealed.hold(settled):
            self._record(outcome)

    def _record(self, outcome: Outcome) -> None:
        self._entries.settle(outcome.path, outcome.reason if outcome.what == "failed" else "")
        if outcome.what == "realised" or ("!" in outcome.path and follows(outcome)):
            return  # a realisation is reported only where it fails by itself
        self._counts[outcome.what] += 1
        self._pushed_bytes += outcome.bytes
        self._outcomes.append(outcome)
