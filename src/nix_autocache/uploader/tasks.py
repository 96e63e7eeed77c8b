"""What the workers do for the drain: ask for paths, bring their archives, publish them.

Each task ends by telling its `Listener` what became of the path, whatever happens, and hears what may be published now;
none of them knows the ledger.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Final, Protocol, TypeVar

from ..errors import CacheBusy, CredentialsError, Error, as_error, one_line
from ..nix.narinfo import Brought
from ..nix.store import PathInfo, StorePath
from ..system import log
from .archives import Archives
from .pack import STREAMED
from .presence import Found
from .push import Pusher
from .workers import LONGEST, Budget, Gate, Once, Workers, retrying

T = TypeVar("T")

THREADS: Final = 64
MEMORY: Final = 48 << 20  # bytes of archives in all threads together
_TOGETHER: Final = 32  # paths asked for by one connection
_DENIALS: Final = 3  # paths refused in a row, after which the cache itself is asked whether it is the credentials
_CHECK: Final = 15.0  # seconds for that
_AT_ONCE: Final = -1  # the rank of what goes before every archive


class Listener(Protocol):
    """Called from the workers; answers with what may be published now."""

    def present(self, path: StorePath) -> list[Brought]: ...

    def brought(self, brought: Brought) -> list[Brought]: ...

    def published(self, brought: Brought) -> list[Brought]: ...

    def failed(self, path: StorePath, reason: str, *, denied: bool) -> list[Brought]:
        """`denied` when the cache does not take our credentials any more, whatever the path."""


class Tasks:
    """Work on single paths, in threads. `stop` ends it without waiting for what is in flight."""

    def __init__(self, pusher: Pusher, store_dir: str, listener: Listener, stop: threading.Event) -> None:
        self.checked = Once()
        self.trouble = ""
        self._pusher, self._store_dir, self._listener, self._stop = pusher, store_dir, listener, stop
        self._workers = Workers(THREADS)
        self._budget = Budget(MEMORY)
        self._gate = Gate()
        self._archives = Archives()
        self._ranks = count()
        self._denials = _Denials(lambda: self._retrying(lambda: pusher.check(store_dir), _CHECK))

    def begin(self) -> None:
        """Look at the cache while the first paths are planned: it costs a connection and a round trip."""
        self._workers.submit(self._check, _AT_ONCE)

    def tend(self) -> None:
        """From time to time: start the threads that could not be started before."""
        self._workers.tend()

    def look_again(self) -> None:
        """Look once more at a cache that could not be used, and for what was in it."""
        self._archives.forget()
        if self.checked.failed:
            self.checked = Once()
            self.begin()

    def bring(self, infos: Sequence[PathInfo]) -> None:
        """See to it that the archives of these paths are in the cache, the first first."""
        ranked = [(next(self._ranks), info) for info in infos]
        for start in range(0, len(ranked), _TOGETHER):
            group = ranked[start : start + _TOGETHER]
            self._workers.submit(partial(self._ask, group), group[0][0])

    def publish(self, ready: Sequence[Brought]) -> None:
        """Make visible what is brought."""
        for brought in ready:
            self._workers.submit(partial(self._publish, [brought]), _AT_ONCE)

    def _check(self) -> None:
        try:
            self._retrying(lambda: self._pusher.check(self._store_dir), math.inf)
            self.checked.settle()
        except BaseException as error:  # what obstore raises when it panics is no Exception
            self.checked.settle(as_error(error))

    def _ask(self, ranked: Sequence[tuple[int, PathInfo]]) -> None:
        """Ask for paths together; those without an answer are asked for one by one."""
        answers: Mapping[StorePath, Found] = {}
        if not self._gate.closed_for():
            with suppress(BaseException):  # it is a shortcut, and must not hold up what it cuts short
                answers = self._pusher.ask([info for _, info in ranked])
        ready: list[Brought] = []
        for rank, info in ranked:
            found = answers.get(info.path)
            if found and found.there:
                ready += self._listener.present(info.path)
            else:
                self._workers.submit(partial(self._bring, info, rank, found), rank)
        self._publish(ready)

    def _bring(self, info: PathInfo, rank: int, found: Found | None) -> None:
        """`found` is what is in the cache, None if there was no clear answer."""
        try:
            ready = self._bring_one(info, rank, found)
        except BaseException as error:
            ready = self._fail(info.path, error)
        self._publish(ready)

    def _bring_one(self, info: PathInfo, rank: int, found: Found | None) -> list[Brought]:
        found = found or self._retrying(lambda: self._pusher.find(info))
        if found.there:
            return self._listener.present(info.path)
        self.checked.wait()
        if not (name := self._pusher.archive(info)):
            return self._listener.brought(self._upload(info, found))
        again = partial(self._workers.submit, partial(self._bring, info, rank, found), rank)
        if not self._archives.claim(name, again):
            return []
        brought: Brought | None = None
        try:
            file = self._archives.uploaded(name)
            brought = self._pusher.describe(info, file) if file else self._upload(info, found)
        finally:
            self._archives.release(name, brought.file if brought else None)
        return self._listener.brought(brought)

    def _upload(self, info: PathInfo, found: Found) -> Brought:
        # A stream holds its parts and the compressor's window, whatever its size.
        with self._budget.hold(min(2 * info.nar_size, 8 * STREAMED)):
            return self._retrying(lambda: self._pusher.upload(info, found))

    def _publish(self, ready: list[Brought]) -> None:
        """Make paths visible, one in this thread, which then goes on with what waited for that: a chain of references
        takes as long as its narinfos, one after the other. None of them ever waits for archives."""
        while ready:
            first, *others = ready
            for brought in others:
                self._workers.submit(partial(self._publish, [brought]), _AT_ONCE)
            ready = self._publish_one(first)

    def _publish_one(self, brought: Brought) -> list[Brought]:
        try:
            self.checked.wait()
            self._retrying(lambda: self._pusher.publish(brought))
            self._denials.forget()
            return self._listener.published(brought)
        except BaseException as error:
            return self._fail(brought.path, error)

    def _retrying(self, attempt: Callable[[], T], longest: float = LONGEST) -> T:
        return retrying(attempt, self._stop, longest=longest, gate=self._gate, tell=self._note_trouble)

    def _note_trouble(self, error: CacheBusy) -> None:
        self.trouble = one_line(error)

    def _fail(self, path: StorePath, error: BaseException) -> list[Brought]:
        if self._stop.is_set():
            return []  # it was given up, not refused: its entry stays in the queue
        if not isinstance(error, Error):
            log.exception()  # a bug must not hold the other paths back, and it must not be hidden
        refused = self._denials.reason(error) if isinstance(error, CredentialsError) else ""
        return self._listener.failed(path, refused or one_line(as_error(error)), denied=bool(refused))


class _Denials:
    """Refusals in a row. A path may be refused for its own sake: only the `check` of the cache says more."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._count = 0
        self._limit = _DENIALS
        self._reason = ""

    def forget(self) -> None:
        """Something was taken."""
        self._count = 0

    def reason(self, error: CredentialsError) -> str:
        """Why nothing can be pushed with these credentials, if that is so."""
        with self._lock:
            self._count += 1
            if self._count < self._limit or self._reason:
                return self._reason
            self._count, self._limit = 0, 2 * self._limit
            try:
                self._check()
            except CredentialsError as refused:
                self._reason = one_line(refused)
            except Exception:
                return ""  # it says nothing of the credentials
            return self._reason
