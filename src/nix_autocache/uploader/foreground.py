"""The drain run by whoever waits for it: `push`, and a flush that finds no uploader alive."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import Error
from .job import Job
from .progress import Progress


def drain_here(job: Job, deadline: float, tell: Callable[[Progress], None], *, check: bool) -> int:
    """Empty the job's queue before the monotonic clock passes `deadline`; how many paths are left.

    Raises CacheError or CacheBusy when asked to `check` the cache first and it cannot be used, and Error when
    another process drains this queue.
    """
    queue = job.open_queue()
    with queue.lock() as held:
        if not held:
            raise Error(f"another uploader has {queue.directory} and does not answer; end it, then flush again")
        pusher = job.pusher()
        if check:
            pusher.check(job.nix.store_dir)
        drain = job.drain(pusher)
        threading.Thread(target=drain.run, name="drain", daemon=True).start()
        dry = drain.flush(deadline, tell)
        left = 0 if dry else drain.progress().waiting
        drain.end()
        return left
