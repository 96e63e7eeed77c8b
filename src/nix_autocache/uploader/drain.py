"""The drain: entries out of the queue, planned, packed, pushed; the table of contents of an upload.

One thread, the one that calls `run`, owns all the state. The workers only execute a step of one path and report.
The same code runs in the background uploader and in a flush that finds no uploader alive.

The cache is closed at every instant: a narinfo is published only when those of all its references are.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from ..errors import CacheBusy, CredentialsError, Error, StoreError, one_line
from ..nix.store import PathInfo, Store, StorePath
from ..queue import Entry, Outcome, Queue
from .narinfo import NarFile
from .pack import STREAMED
from .plan import Plan, Policy, plan
from .progress import Progress
from .push import Pusher
from .workers import LONGEST, Budget, Gate, Workers, retrying

T = TypeVar("T")

THREADS: Final = 64
MEMORY: Final = 48 << 20  # bytes of archives in all threads together
WINDOW: Final = 2000  # paths in work, so that memory does not grow with the queue
_POLL: Final = 0.05  # seconds between looks into the queue
_DENIALS: Final = 3  # paths refused in a row for their credentials: it is not the paths

GOOD: Final = frozenset({"pushed", "present", "upstream"})


@dataclass(slots=True)
class _Node:
    """A path in work. `waiting` counts the references that are not in the cache yet."""

    info: PathInfo
    waiting: int = 0
    dependents: list[StorePath] = field(default_factory=list)
    file: NarFile | None = None


@dataclass(slots=True)
class _Pending:
    """An entry in work: its outputs, those that are not settled yet, and what went wrong with one."""

    entry: Entry
    outputs: tuple[StorePath, ...]
    left: int
    reason: str = ""


class Drain:
    """Empties `queue` into `pusher`, for as long as `run` runs."""

    def __init__(self, queue: Queue, store: Store, pusher: Pusher, policy: Policy) -> None:
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.pushed_bytes = 0
        self.trouble = ""
        self.refused = ""  # why the drain ended by itself: nothing can be pushed with these credentials
        self._denials = 0
        self._gate = Gate()
        self._queue, self._store, self._pusher, self._policy = queue, store, pusher, policy
        self._workers = Workers(THREADS)
        self._budget = Budget(MEMORY)
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._nodes: dict[StorePath, _Node] = {}
        self._settled: dict[str, Outcome | None] = {}  # None for what is in the cache; else why it is not
        self._checked: Future[None] = Future()
        self._pending: dict[str, _Pending] = {}
        self._awaited: dict[StorePath, list[_Pending]] = {}
        self._records: list[Outcome] = []
        self._finished: list[_Pending] = []  # entries that go from the queue once their outcomes are on disk
        self._seen_change = 0
        self._dry = threading.Condition()
        self._asked = self._answered = 0

    def run(self) -> None:
        """Drain until `end` is called, or the cache does not take our credentials any more."""
        self._workers.submit(self._check, urgent=True)
        try:
            while not self.stop.is_set():
                self._turn()
        finally:
            self.stop.set()
            self._flush_records()
            self._tell_dry(self._answered)  # nobody shall wait for a drain that ended

    def _turn(self) -> None:
        asked = self._asked
        entries = self._take()
        if entries:
            self._admit(entries)
        self._handle_events()
        self._flush_records()
        if not entries and not self._nodes and not any(self._queue.names(self._pending)):
            self._tell_dry(asked)

    def usable(self, timeout: float) -> None:
        """From another thread: wait until the cache was looked at, at most `timeout` seconds.

        Raises what `Pusher.check` raises for good. Nothing is uploaded before the check is through.
        """
        with suppress(TimeoutError):
            self._checked.result(timeout)

    def wait_dry(self, timeout: float) -> bool:
        """From another thread: wait until everything that is in the queue by now is settled, or `timeout` seconds."""
        with self._dry:
            self._asked += 1
            number = self._asked
            self._events.put(_wake)
            self._dry.wait_for(lambda: self._answered >= number or self.stop.is_set(), timeout)
            return self._answered >= number

    def flush(self, deadline: float, tell: Callable[[Progress], None]) -> bool:
        """From another thread: wait until the queue is dry, what failed tried once more, or the monotonic clock
        passes `deadline`; whether it is dry. Calls `tell` every second."""
        self._events.put(self._forget_failures)
        while True:
            if self.wait_dry(min(1.0, max(0.0, deadline - time.monotonic()))):
                return True
            if time.monotonic() >= deadline or self.stop.is_set():
                return False
            tell(self.progress())

    def end(self) -> None:
        """From another thread: end `run` without waiting for what is in flight."""
        self.stop.set()
        self._events.put(_wake)

    def progress(self) -> Progress:
        """How far it is; from any thread."""
        queued = sum(1 for _ in self._queue.names(self._pending.copy()))
        return Progress(
            counts=dict(self.counts),
            pushed_bytes=self.pushed_bytes,
            waiting=len(self._nodes) + queued,
            trouble=self.trouble,
        )

    def _tell_dry(self, asked: int) -> None:
        with self._dry:
            self._answered = asked
            self._dry.notify_all()

    def _forget_failures(self) -> None:
        self._settled = {path: bad for path, bad in self._settled.items() if not bad or bad.what != "failed"}
        self._queue.retry_failed()

    def _take(self) -> list[Entry]:
        room = WINDOW - len(self._nodes)
        return self._queue.take(self._pending, limit=room) if room > 0 else []

    def _admit(self, entries: list[Entry]) -> None:
        """Plan entries and start the work on their paths."""
        try:
            planned = plan(entries, self._store, self._policy, _Known(self._nodes, self._settled))
        except StoreError as error:
            for entry in entries:
                self._queue.fail(entry, one_line(error))
            return
        for outcome in planned.settled:
            self._settle(StorePath(outcome.path), outcome)
        for info in planned.candidates:
            self._nodes[info.path] = _Node(info)
        self._await_outputs(entries, planned)
        for info in planned.candidates:
            self._link(info)
        for info in reversed(planned.candidates):  # what others refer to first: its narinfo is what they wait for
            if info.path in self._nodes:
                self._workers.submit(lambda info=info: self._bring(info))  # type: ignore[misc]

    def _await_outputs(self, entries: Iterable[Entry], planned: Plan) -> None:
        for entry in entries:
            outputs = planned.outputs[entry.name]
            if not entry.outputs:
                self._queue.protect(outputs)
            pending = _Pending(entry, outputs, left=len(outputs))
            self._pending[entry.name] = pending
            if not outputs:
                pending.reason, pending.left = "its derivation is not in the store any more", 1
                self._finish_output(pending, None)
            for output in outputs:
                if output in self._nodes:
                    self._awaited.setdefault(output, []).append(pending)
                else:
                    self._finish_output(pending, self._settled[output])

    def _link(self, info: PathInfo) -> None:
        """Wait for the references that are in work; what refers to a path that cannot be had shares its fate."""
        node = self._nodes.get(info.path)
        for reference in info.references if node else ():
            if reference == info.path or node is None:
                continue
            if reference in self._nodes:
                node.waiting += 1
                self._nodes[reference].dependents.append(info.path)
            elif bad := self._settled[reference]:
                self._settle(info.path, _follows(info.path, bad))
                return

    def _check(self) -> None:
        """In a worker, while the first paths are planned and asked for: it costs a connection and a round trip."""
        try:
            self._checked.set_result(self._retrying(self._look, math.inf))
        except Exception as error:
            self._checked.set_exception(error)

    def _look(self) -> None:
        self._pusher.check(self._store.nix.store_dir)

    def _bring(self, info: PathInfo) -> None:
        """In a worker: the content of a path into the cache, unless the path is there."""
        try:
            if self._retrying(lambda: self._pusher.present(info.path)):
                self._events.put(lambda: self._settle(info.path, Outcome(info.path, "present")))
                return
            self._checked.result()
            # A stream holds its parts and the compressor's window, whatever its size.
            with self._budget.hold(min(2 * info.nar_size, 8 * STREAMED)):
                file = self._retrying(lambda: self._pusher.upload(info))
            self._events.put(lambda: self._brought(info.path, file))
        except Exception as error:
            self._fail(info.path, error)

    def _brought(self, path: StorePath, file: NarFile) -> None:
        if node := self._nodes.get(path):
            node.file = file
            self._publish_if_ready(node)

    def _publish_if_ready(self, node: _Node) -> None:
        if node.file and not node.waiting:
            info, file = node.info, node.file
            # A chain of references is as long as its narinfos take, one after the other: never let one wait.
            self._workers.submit(lambda: self._publish(info, file), urgent=True)

    def _publish(self, info: PathInfo, file: NarFile) -> None:
        """In a worker: make a path visible."""
        try:
            self._retrying(lambda: self._pusher.publish(info, file))
            self._events.put(lambda: self._settle(info.path, Outcome(info.path, "pushed", file.file_size)))
        except Exception as error:
            self._fail(info.path, error)

    def _retrying(self, attempt: Callable[[], T], longest: float = LONGEST) -> T:
        return retrying(attempt, self.stop, longest=longest, gate=self._gate, tell=self._note_trouble)

    def _note_trouble(self, error: CacheBusy) -> None:
        self.trouble = one_line(error)

    def _fail(self, path: StorePath, error: Exception) -> None:
        if self.stop.is_set():
            return  # it was given up, not refused: its entry stays in the queue
        # An error that is not ours is a bug; it must not hold the other paths back, and it must not be hidden.
        reason = one_line(error) if isinstance(error, Error) else f"{type(error).__name__}: {one_line(error)}"
        denied = isinstance(error, CredentialsError)
        self._events.put(lambda: self._settle_failed(path, reason, denied=denied))

    def _settle_failed(self, path: StorePath, reason: str, *, denied: bool) -> None:
        """With credentials that expired, leave the rest of the queue to a flush that may have others."""
        self._settle(path, Outcome(path, "failed", reason=reason))
        self._denials += denied
        if self._denials >= _DENIALS:
            self.refused = reason
            self.stop.set()

    def _settle(self, path: StorePath, outcome: Outcome) -> None:
        """Note what became of a path, and of all that waited for it."""
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
                    self._publish_if_ready(waiting)

    def _count(self, outcome: Outcome) -> None:
        self.counts[outcome.what] += 1
        if outcome.what == "pushed":
            self._denials = 0
        self.pushed_bytes += outcome.bytes
        self._records.append(outcome)

    def _finish_output(self, pending: _Pending, bad: Outcome | None) -> None:
        """One output of an entry is settled; with the last one the entry is done, or failed with a reason."""
        pending.left -= 1
        if bad and bad.what == "failed":
            pending.reason = bad.reason
        if pending.left:
            return
        self._finished.append(pending)

    def _handle_events(self) -> None:
        """Everything that the workers reported; waits a moment when there is nothing."""
        try:
            self._events.get(timeout=_POLL)()
            while True:
                self._events.get_nowait()()
        except Empty:
            pass

    def _flush_records(self) -> None:
        """Outcomes first: an uploader that is killed between the two settles a path again, and never loses one."""
        if self._records and self._queue.record(self._records):
            self._records = []
        finished, self._finished = self._finished, []
        for pending in finished:
            if self._leave(pending):
                del self._pending[pending.entry.name]

    def _leave(self, pending: _Pending) -> bool:
        """Take an entry from the queue; one that cannot be taken away is not begun again in this process."""
        if pending.reason:
            return self._queue.fail(pending.entry, pending.reason)
        return self._queue.done(pending.entry, pending.outputs)


def _wake() -> None:
    """An event that ends the drain's sleep."""


class _Known:
    """Paths that are in work or settled."""

    def __init__(self, *parts: Mapping[str, object] | Mapping[StorePath, object]) -> None:
        self._parts = parts

    def __contains__(self, path: object) -> bool:
        return any(path in part for part in self._parts)


def _follows(path: str, bad: Outcome) -> Outcome:
    """The outcome of a path that refers to one which did not get into the cache."""
    reason = bad.reason if bad.reason.startswith("refers to ") else f"refers to {bad.path}: {bad.reason}"
    return Outcome(path, bad.what, reason=reason)
