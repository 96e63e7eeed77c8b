"""A pusher that asks what it may and can, and writes nothing.

A dry run needs neither credentials nor a network: a cache that refuses, cannot be opened or does not answer within a
few seconds is not asked any more, and everything counts as missing there. That is told once, as trouble with the cache.
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
    from .push import Pusher

T = TypeVar("T")

PATIENCE: Final = 5.0  # seconds that a cache has for one answer, retries included


class DryRun:
    """Asks the pusher that `make` makes, which may raise as it does, and writes nothing."""

    def __init__(self, make: Callable[[], Pusher], patience: float = PATIENCE) -> None:
        self._make, self._patience = make, patience
        self._lock = threading.Lock()  # of the next two
        self._waiting_since: float | None = None  # when the cache was first asked for what it has not answered yet
        self._reason = ""  # why it is not asked any more
        self._told = False

    def check(self, store_dir: str) -> None:
        """Ask the cache for anything at all, so that set-up can say whether it is there."""
        self._find(self._reached)

    def ask(self, infos: Sequence[PathInfo]) -> Mapping[StorePath, Found]:
        with suppress(Error):  # each path is asked for by itself then
            return self._within(lambda: self._pusher.ask(infos))
        return {}

    def find(self, info: PathInfo) -> Found:
        return self._find(lambda: self._pusher.find(info))

    def reach(self) -> None:
        pass

    def _reached(self) -> Found:
        self._pusher.reach()
        return ABSENT

    def _find(self, question: Callable[[], Found]) -> Found:
        if self._reason:
            return self._unknown()
        try:
            return self._within(question)
        except StoreError:
            raise
        except CacheBusy as error:
            if self._is_patient() and error.retry_after < self._patience:
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

    @cached_property
    def _pusher(self) -> Pusher:
        return self._make()

    def _within(self, question: Callable[[], T]) -> T:
        """Its answer. Raises CacheBusy where there was none in time, and what it raises."""
        if self._reason:
            raise CacheBusy(self._reason)
        with self._lock:
            self._waiting_since = self._waiting_since or time.monotonic()
            left = max(0.0, self._waiting_since + self._patience - time.monotonic())
        answer: list[T | Exception] = []
        asking = threading.Thread(target=lambda: answer.append(_outcome(question)), daemon=True)
        asking.start()  # nobody waits for a request whose own limit is longer
        asking.join(left)
        if not answer:
            raise CacheBusy(f"no answer within {self._patience:g} s")
        if isinstance(answer[0], Exception):
            raise answer[0]
        self._waiting_since = None
        return answer[0]

    def _is_patient(self) -> bool:
        since = self._waiting_since
        return since is None or time.monotonic() - since < self._patience

    def _give_up(self, error: Error) -> Found:
        self._reason = one_line(error)
        return self._unknown()

    def _unknown(self) -> Found:
        """What is not known counts as missing. The first time the reason is raised, so that it is told."""
        with self._lock:
            first, self._told = not self._told, True
        if first:
            raise CacheBusy(f"{self._reason}; it is not asked any more, and everything counts as missing there")
        return ABSENT


def _outcome(question: Callable[[], T]) -> T | Exception:
    try:
        return question()
    except Error as error:
        return error
    except Exception as error:
        return CacheError(f"{type(error).__name__}: {one_line(error)}")
