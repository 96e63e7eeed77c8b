"""What the workers do with single paths: ask for them, upload their archives, publish their narinfos.

Each task ends by telling the `Ledger` what became of its path, whatever happens, and publishes what the ledger says may
be published now.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Final, TypeVar

from ..caches.retry import LONGEST, Gate, retrying
from ..errors import CacheBusy, CredentialsError, Error, ReadOnly, as_error, one_line
from ..nix import keys
from ..nix.narinfo import Uploaded
from ..nix.realisation import Realisation
from ..nix.store import PathInfo, StorePath
from ..system import log
from .archives import Archives
from .checking import Checking
from .doomed import Collected
from .ledger import Ledger, Realised
from .pack import STREAMED
from .plan import Plan
from .presence import Found
from .pusher import Pusher
from .refusals import Refusals
from .workers import Budget, Workers

T = TypeVar("T")

THREADS: Final = 64
MEMORY: Final = 48 << 20  # bytes of archives in all threads together
_TOGETHER: Final = 32  # paths at most asked for by one connection
_SPREAD: Final = 20  # connections that share the questions: some servers take tens of milliseconds for each
_CHECK: Final = 15.0  # seconds for the question whether the cache takes our credentials at all
SETTLE: Final = 5.0  # seconds for what makes the next run faster
_RECORD: Final = 600.0  # seconds between two records of what was used, for a job that is killed
_AT_ONCE: Final = -1  # the rank of what goes before every archive


class Tasks:
    """Work on single paths, in threads. `stop` ends it without waiting for what is in flight."""

    def __init__(self, pusher: Pusher, ledger: Ledger, store_dir: str) -> None:
        self.stop = threading.Event()
        self.trouble = ""
        self._looking = True  # at what the collector has announced
        self._recorded = -math.inf
        self._pusher, self._ledger = pusher, ledger
        self._workers = Workers(THREADS)
        self._budget = Budget(MEMORY)
        self._gate = Gate()
        self._archives = Archives()
        self._ranks = count()
        self.checking = Checking(pusher, store_dir, self._retrying)
        self.refusals = Refusals(lambda: self._retrying(self.checking.once, _CHECK))

    def begin(self) -> None:
        """Look at the cache while the first paths are planned: it costs a connection and a round trip."""
        self._workers.submit(self.checking.run, _AT_ONCE)
        self._workers.submit(self._look, _AT_ONCE)

    def tend(self) -> None:
        """From time to time: start the threads that could not be started before, and have the collector's list read."""
        self._workers.tend()
        if self._pusher.is_due and not self._looking and self._ledger.in_work:
            self._looking = True
            self._workers.submit(self._look, _AT_ONCE)

    def look_again(self) -> None:
        """Look once more at a cache that could not be used, and for what was in it."""
        self._archives.forget()
        if not self._ledger.in_work:
            self._pusher.forget()
        if self.checking.failed:
            self.checking.reset()
            self.begin()

    def realise(self, found: Iterable[Realisation]) -> list[Realised]:
        """Realisations as this cache publishes them; none where it has no place for them."""
        return [(uploaded, each.path) for each in found if (uploaded := self._pusher.realise(each))]

    def start(self, planned: Plan, realised: Mapping[str, Sequence[Realised]]) -> None:
        """Admit a plan to the ledger and start on its paths, in the ledger's order."""
        infos, ready = self._ledger.admit(planned, realised)
        self._pusher.use(infos)
        ranked = [(next(self._ranks), info) for info in infos]
        together = min(_TOGETHER, math.ceil(len(ranked) / _SPREAD)) or 1
        for start in range(0, len(ranked), together):
            group = ranked[start : start + together]
            self._workers.submit(partial(self._ask, group), group[0][0])
        if ranked:  # the answers are on their way meanwhile
            self._workers.submit(keys.load, _AT_ONCE)
        for uploaded in ready:
            self._workers.submit(partial(self._publish, [uploaded]), _AT_ONCE)
        if infos and time.monotonic() - self._recorded > _RECORD:
            self._recorded = time.monotonic()
            self._workers.submit(self._record, _AT_ONCE)

    def at_once(self, task: Callable[[], None]) -> None:
        """Run a task before all others."""
        self._workers.submit(task, _AT_ONCE)

    def seal(self) -> None:
        """From a task: have the cache seal what was published. Raises what `Pusher.seal` raises for good."""
        self._retrying(self._pusher.seal)

    def is_stale(self) -> bool:
        """From a task: True if the next run gains from a seal."""
        return self._pusher.is_stale

    def settle(self, longest: float = SETTLE) -> None:
        """Leave what makes the next run faster. Without it nothing is lost, so nobody waits for it for long: at most
        `longest` seconds."""
        settling = threading.Thread(target=self._settle, name="settle", daemon=True)
        with suppress(RuntimeError):  # this machine starts no further thread at the moment
            settling.start()
            settling.join(max(0.0, min(longest, SETTLE)))

    def _settle(self) -> None:
        try:
            self.checking.before_publication()
            self._pusher.settle()
        except Exception as error:
            log.line(f"nothing was left for the next run: {one_line(as_error(error))}")

    def _look(self) -> None:
        try:
            with suppress(Error):  # what is published next raises it again
                self._pusher.look()
        finally:
            self._looking = False

    def _record(self) -> None:
        with suppress(Error):  # the next time, or at the end
            self.checking.before_publication()
            self._pusher.record()

    def _ask(self, ranked: Sequence[tuple[int, PathInfo]]) -> None:
        """Ask for paths together; those without an answer are asked for one by one."""
        answers: Mapping[StorePath, Found] = {}
        if not self._gate.closed_for():
            with suppress(BaseException):  # it is a shortcut, and must not hold up what it cuts short
                answers = self._pusher.ask([info for _, info in ranked])
        there = [path for path, found in answers.items() if found.there]
        for rank, info in ranked:
            found = answers.get(info.path)
            if not (found and found.there):
                self._workers.submit(partial(self._upload, info, rank, found), rank)
        self._publish(self._ledger.present(there))

    def _upload(self, info: PathInfo, rank: int, found: Found | None) -> None:
        """`found` is what is in the cache, None if there was no clear answer."""
        try:
            ready = self._upload_one(info, rank, found)
        except BaseException as error:
            ready = self._fail(info.path, error)
        self._publish(ready)

    def _upload_one(self, info: PathInfo, rank: int, found: Found | None) -> list[Uploaded]:
        found = found or self._retrying(lambda: self._pusher.find(info))
        if found.there:
            return self._ledger.present([info.path])
        self.checking.before_upload()
        if not (name := self._pusher.archive(info)):
            return self._ledger.uploaded(self._pack(info, found))
        again = partial(self._workers.submit, partial(self._upload, info, rank, found), rank)
        if not self._archives.claim(name, again):
            return []
        uploaded: Uploaded | None = None
        try:
            file = self._archives.uploaded(name)
            uploaded = self._pusher.describe(info, file) if file else self._pack(info, found)
        finally:
            self._archives.release(name, uploaded.file if uploaded else None)
        return self._ledger.uploaded(uploaded)

    def _pack(self, info: PathInfo, found: Found) -> Uploaded:
        # A stream holds its parts and the compressor's window, whatever its size.
        with self._budget.hold(min(2 * info.nar_size, 8 * STREAMED)):
            return self._retrying(lambda: self._pusher.upload(info, found))

    def _publish(self, ready: list[Uploaded]) -> None:
        """Make paths visible, one in this thread, which then goes on with what waited for that: a chain of references
        takes as long as its narinfos, one after the other. None of them ever waits for archives."""
        while ready:
            first, *others = ready
            for uploaded in others:
                self._workers.submit(partial(self._publish, [uploaded]), _AT_ONCE)
            ready = self._publish_one(first)

    def _publish_one(self, uploaded: Uploaded) -> list[Uploaded]:
        try:
            self.checking.before_publication()
            self._retrying(lambda: self._pusher.publish(uploaded))
            self.refusals.end_row()
            return self._ledger.published(uploaded)
        except BaseException as error:
            return self._fail(uploaded.path, error)

    def _retrying(self, attempt: Callable[[], T], longest: float = LONGEST) -> T:
        return retrying(attempt, self.stop, longest=longest, gate=self._gate, tell=self._note_trouble)

    def _note_trouble(self, error: CacheBusy) -> None:
        self.trouble = one_line(error)

    def _fail(self, path: StorePath, error: BaseException) -> list[Uploaded]:
        if self.stop.is_set():
            return []  # it was given up, not refused: its entry stays in the queue
        if not isinstance(error, Error):
            log.exception()  # a bug must not hold the other paths back, and it must not be hidden
        if isinstance(error, ReadOnly):
            return self._ledger.refused(path, one_line(error))
        refused = self.refusals.count() if isinstance(error, CredentialsError) else ""
        if isinstance(error, Collected):
            self._archives.forget()
            self._ledger.forget_paths(error.gone)
        ready = self._ledger.failed(path, refused or one_line(as_error(error)))
        if refused:  # the rest of the queue stays there for a flush that may have newer credentials
            self.stop.set()
        return ready
