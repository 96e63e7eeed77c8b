"""The life of an uploader: `Opening` until it has credentials and a key, then `Draining`, or `Refused` for a reason.

`Uploader.run` is the only one that changes the state; requests come from other threads and only read it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from ...caches.retry import retrying
from ...errors import CacheBusy, CredentialsError, Error, as_error, one_line
from ...queue.directory import Queue
from ...system import log
from ...system.dataclass import dataclass
from ..drain import Drain
from ..nix_reading import NixReading
from ..progress import Progress
from ..spec import UploadSpec

_FORGOTTEN: Final = 24 * 3600.0  # seconds with nothing queued and no flush: the job was killed and cannot end us


@dataclass(frozen=True)
class Opening:
    """Waiting for AWS or the cache. `trouble` is why that takes time."""

    queue: Queue
    trouble: str = "AWS has not answered yet"

    def progress(self) -> Progress:
        return _of_queue(self.queue, self.trouble)

    def error(self, timeout: float) -> Error | None:
        return None


@dataclass(frozen=True)
class Draining:
    drain: Drain

    def progress(self) -> Progress:
        return self.drain.progress()

    def error(self, timeout: float) -> Error | None:
        """Why the cache cannot be used, after at most `timeout` seconds. One that is busy may still answer."""
        try:
            self.drain.usable(timeout)
        except CacheBusy:
            pass
        except Error as error:
            return error
        return CredentialsError(self.drain.refused) if self.drain.refused else None


@dataclass(frozen=True)
class Refused:
    """Nothing can be pushed. `drain` is the one that ended with the error, if any began."""

    reason: Error
    queue: Queue
    drain: Drain | None = None

    def progress(self) -> Progress:
        return self.drain.progress() if self.drain else _of_queue(self.queue, "")

    def error(self, timeout: float) -> Error:
        return self.reason


class Uploader:
    """Runs the drain of a spec; `reading` is what Nix read meanwhile. Everything but `run` is for other threads."""

    def __init__(self, spec: UploadSpec, reading: NixReading) -> None:
        self._spec, self._queue, self._reading = spec, spec.open_queue(), reading
        self.state: Opening | Draining | Refused = Opening(self._queue)
        self.public_key = ""  # known once the key is there, even if the cache is still busy
        self._answerable = threading.Event()  # opened, or busy for a reason that can be told
        self._opened = threading.Event()
        self._stop = threading.Event()

    def run(self) -> None:
        """Return after `end`. An uploader that is to run for months also returns when it is refused: whoever started
        it starts it again."""
        lasting = self._spec.maintenance_interval > 0
        if not lasting:
            threading.Thread(target=self._end_when_forgotten, daemon=True).start()
        self.state = self._opened_state()
        self._opened.set()
        self._answerable.set()
        if isinstance(self.state, Draining) and not self._stop.is_set():
            drain = self.state.drain
            drain.run()
            if drain.refused:
                self.state = Refused(CredentialsError(drain.refused), self._queue, drain)
        if isinstance(self.state, Refused):
            self._stop.wait(self._spec.maintenance_interval if lasting else None)

    def end(self) -> None:
        """End `run` without waiting for uploads that are under way."""
        self._stop.set()
        if isinstance(state := self.state, Draining):
            state.drain.end()

    def wait_answerable(self, timeout: float) -> None:
        """Wait until it is opened, or AWS or the cache was busy."""
        self._answerable.wait(timeout)

    def flush(self, deadline: float, tell: Callable[[Progress], None]) -> bool:
        """Wait until everything queued by now is settled, or the monotonic clock passes `deadline`.

        Returns True if it is settled. Calls `tell` every second, also before it is opened.
        """
        while not self._opened.wait(min(1.0, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                return False
            tell(self.state.progress())
        state = self.state
        return isinstance(state, Draining) and state.drain.flush(deadline, tell)

    def progress(self) -> Progress:
        return self.state.progress()

    def error(self, timeout: float) -> Error | None:
        """Why nothing can be pushed, as far as that is known after at most `timeout` seconds."""
        return self.state.error(timeout)

    @property
    def silence(self) -> float:
        """Seconds since the drain last looked for work, if it runs."""
        state = self.state
        return state.drain.silence if isinstance(state, Draining) else 0.0

    def _opened_state(self) -> Draining | Refused:
        try:
            return Draining(retrying(self._open, self._stop, longest=math.inf, tell=self._note_trouble))
        except Exception as error:
            if not isinstance(error, Error):
                log.exception()
            return Refused(as_error(error), self._queue)

    def _open(self) -> Drain:
        key = self._spec.secret_key
        self.public_key = str(key.public) if key else ""
        return self._spec.drain(self._spec.pusher(reading=self._reading), reading=self._reading)

    def _note_trouble(self, error: CacheBusy) -> None:
        self.state = Opening(self._queue, one_line(error))
        self._answerable.set()

    def _end_when_forgotten(self) -> None:
        begun, idle = time.monotonic(), 0.0
        while not self._stop.wait(_FORGOTTEN - idle):
            drain = None if isinstance(state := self.state, Opening) else state.drain
            idle = drain.idle if drain else time.monotonic() - begun
            if idle >= _FORGOTTEN:
                self.end()


def _of_queue(queue: Queue, trouble: str) -> Progress:
    """Progress where no drain runs: everything in the queue waits."""
    try:
        waiting = sum(1 for _ in queue.names())
    except OSError as error:
        return Progress(counts={}, pushed_bytes=0, waiting=0, trouble=one_line(error))
    return Progress(counts={}, pushed_bytes=0, waiting=waiting, trouble=trouble)
