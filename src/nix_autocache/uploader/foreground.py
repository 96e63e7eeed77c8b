"""The drain run by whoever waits for it: `push`, and a flush that finds no uploader alive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from ..errors import Error
from .job import Job
from .progress import Progress

_LOOK: Final = 5.0  # seconds that the cache has to show whether it can be used


def drain_here(job: Job, deadline: float, tell: Callable[[Progress], None], *, check: bool) -> int:
    """Empty the job's queue before the monotonic clock passes `deadline`; how many paths are left.

    Raises CacheError when asked to `check` the cache and it cannot be used; else its paths fail with that reason.
    Raises Error when another process drains this queue.
    """
    queue = job.open_queue()
    with queue.lock() as held:
        if not held:
            raise Error(f"another uploader has {queue.directory} and does not answer; end it, then flush again")
        drain = job.drain(job.pusher())
        threading.Thread(target=drain.run, name="drain", daemon=True).start()
        if check:
            drain.usable(_LOOK)
        dry = drain.flush(deadline, tell)
        left = 0 if dry else drain.progress().waiting
        drain.end()
        return left
