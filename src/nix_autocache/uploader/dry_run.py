"""A pusher that asks the cache for what it has, and writes nothing.

A dry run needs neither credentials nor a network. A cache that refuses, cannot be opened or does not answer within some
seconds is not asked again, and counts as empty. The reason is reported once, as trouble with the cache.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from ..errors import CacheBusy, CacheError, Error, StoreError, one_line
from ..nix.narinfo import Uploaded
from .presence import ABSENT

if TYPE_CHECKING:
    from ..nix.narinfo import NarFile
    from ..nix.realisation import Realisation
    from ..nix.store import PathInfo, StorePath
    from .presence import Found
    from .pusher import Pusher

T = TypeVar("T")

TIMEOUT: Final = 5.0  # seconds for one answer, retries included


class DryRun:
    """Asks the pusher that `make` returns. Raises nothing that `make` raises, but reports it."""

    seals = False
    is_stale = False
    is_due = False

    def __init__(self, make: Callable[[], Pusher], timeout: float = TIMEOUT) -> None:
        self._make, self._timeout = make, timeout
        self._lock = threading.Lock()  # for `_waiting_since` and `_reported`
        self._waiting_since: float | None = None  # when the oldest unanswered query began
        self._reason = ""  # why the cache is not asked again
        self._reported = False

    def check(self, store_dir: str) -> bool:
        """Ask for anything at all, so that `setup` can report a cache that cannot be reached."""
        self._find(self._reach)
        return False

    def confirm(self) -> None:
        pass

    def use(self, infos: Sequence[PathInfo]) -> None:
        pass

    def ask(self, infos: Sequence[PathInfo]) -> Mapping[StorePath, Found]:
        with suppress(Error):  # then each path is asked for alone
            return self._within(lambda: self._pusher.ask(infos))
        return {}

    def find(self, info: PathInfo) -> Found:
        return self._find(lambda: self._pusher.find(info))

    def reach(self) -> None:
        pass

    def _reach(self) -> Found:
        self._pusher.reach()
        return ABSENT

    def _find(self, query: Callable[[], Found]) -> Found:
        if self._reason:
            return self._unknown()
        try:
            return self._within(query)
        except StoreError:
            raise
        except CacheBusy as error:
            if self._may_wait() and error.retry_after < self._timeout:
                raise
            return self._give_up(error)
        except Error as error:
            return self._give_up(error)

    def archive(self, info: PathInfo) -> str:
        return ""

    def upload(self, info: PathInfo, found: Found) -> Uploaded:
        return Uploaded(info.path, 0, b"", what="signed" if found.archive else "pushed")

    def describe(self, info: PathInfo, file: NarFile) -> Uploaded:
        return Uploaded(info.path, 0, b"")

    def realise(self, realised: Realisation) -> Uploaded | None:
        return None

    def publish(self, uploaded: Uploaded) -> None:
        pass

    def look(self) -> None:
        pass

    def forget(self) -> None:
        pass

    def seal(self) -> None:
        pass

    def sealed(self, path: StorePath) -> bool:
        return True

    def record(self) -> None:
        pass

    def settle(self) -> None:
        pass

    @cached_property
    def _pusher(self) -> Pusher:
        return self._make()

    def _within(self, query: Callable[[], T]) -> T:
        """The result of `query`. Raises what it raises, or CacheBusy if it takes too long."""
        if self._reason:
            raise CacheBusy(self._reason)
        with self._lock:
            self._waiting_since = self._waiting_since or time.monotonic()
            left = max(0.0, self._waiting_since + self._timeout - time.monotonic())
        answer: list[T | Exception] = []
        asking = threading.Thread(target=lambda: answer.append(_outcome(query)), daemon=True)
        asking.start()  # left behind if the request's own timeout is longer
        asking.join(left)
        if not answer:
            raise CacheBusy(f"no answer within {self._timeout:g} s")
        if isinstance(answer[0], Exception):
            raise answer[0]
        self._waiting_since = None
        return answer[0]

    def _may_wait(self) -> bool:
        since = self._waiting_since
        return since is None or time.monotonic() - since < self._timeout

    def _give_up(self, error: Error) -> Found:
        self._reason = one_line(error)
        return self._unknown()

    def _unknown(self) -> Found:
        """Absent. Raises the reason the first time, so that it is reported."""
        with self._lock:
            first, self._reported = not self._reported, True
        if first:
            raise CacheBusy(f"{self._reason}; it is not asked again, and everything counts as missing there")
        return ABSENT


def _outcome(query: Callable[[], T]) -> T | Exception:
    try:
        return query()
    except Error as error:
        return error
    except Exception as error:
        return CacheError(f"{type(error).__name__}: {one_line(error)}")
