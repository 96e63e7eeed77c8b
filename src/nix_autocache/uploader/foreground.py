"""The drain run by whoever waits for it: `push`, and a flush that finds no uploader alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..errors import Error
from ..nix.store import Store
from .job import Job
from .progress import Progress, Rest

_LOOK: Final = 5.0  # seconds that the cache has to show whether it can be used
_YIELD: Final = 1.0  # seconds for an uploader that was told to stop
_RECORD: Final = 1.0  # seconds for the drain to write down what it did


def drain_here(job: Job, deadline: float, tell: Callable[[Progress], None], *, check: bool) -> Rest:
    """Empty the job's queue before the monotonic clock passes `deadline`; what is left.

    Raises CacheError when asked to `check` the cache and it cannot be used; else its paths fail with that reason.
    Raises Error when another process drains this queue.
    """
    queue = job.open_queue()
    with queue.lock(_YIELD) as held:
        if not held:
            raise Error(f"another uploader has {queue.directory} and does not answer; end it, then flush again")
        store = Store(job.nix)
        with suppress(OSError):  # the drain's first question will say it
            store.begin()  # Nix starts while we load what an upload needs
        drain = job.drain(job.pusher(), store)
        running = threading.Thread(target=drain.run, name="drain", daemon=True)
        running.start()
        try:
            if check:
                drain.usable(min(_LOOK, max(0.0, deadline - time.monotonic())))
            dry = drain.flush(deadline, tell)
            progress = drain.progress()
            if dry:
                return Rest(0, unrecorded=progress.unrecorded)
            return Rest(progress.waiting, drain.refused or progress.trouble, progress.unrecorded)
        finally:
            drain.end()
            running.join(_RECORD)
