"""The drain run by whoever waits for it: `push`, and a flush that finds no uploader alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..caches import opening
from ..errors import Error
from ..nix.store import Nix
from ..nix.store_client import StoreClient
from ..nix.store_url import CacheUrl

if TYPE_CHECKING:
    from ..caches.protocol import Cache
    from .progress import FlushResult, Progress
    from .spec import UploadSpec

_LOOK: Final = 5.0  # seconds that the cache has to show whether it can be used
_FIRST: Final = 3  # connections for a single entry: the cache itself is asked, and what the entry refers to
_MANY: Final = 100  # entries; to count more would not make more connections
_YIELD: Final = 1.0  # seconds for an uploader that was told to stop
_RECORD: Final = 1.0  # seconds for the drain to write down what it did


@dataclass(frozen=True)
class Begun:
    """Those who take their time to answer, begun before what an upload needs is even loaded."""

    store: StoreClient
    cache: Cache | None


def begin(nix: Nix, url: CacheUrl, environ: Mapping[str, str], entries: int) -> Begun:
    """Start Nix, and connect to the cache, where nothing more must be known for that, to push so many entries."""
    store = StoreClient(nix)
    with suppress(OSError):  # the drain's first question will say it
        store.begin()
    return Begun(store, opening.open_early(url, environ, _FIRST + entries))


def drain_here(
    job: UploadSpec,
    deadline: float,
    tell: Callable[[Progress], None],
    *,
    begun: Begun | None = None,
    check: bool = False,
) -> FlushResult:
    """Empty the job's queue before the monotonic clock passes `deadline`.

    Raises CacheError when asked to `check` the cache and it cannot be used; else its paths fail with that reason.
    Raises Error when another process drains this queue.
    """
    queue = job.open_queue()
    with queue.lock(_YIELD) as held:
        if not held:
            raise Error(f"another uploader has {queue.directory} and does not answer; end it, then flush again")
        if begun is None:
            entries = sum(1 for _ in islice(queue.names(), _MANY))
            begun = begin(job.nix, job.cache, job.environ, entries)
        drain = job.drain(job.pusher(begun.cache), begun.store)
        running = threading.Thread(target=drain.run, name="drain", daemon=True)
        running.start()
        try:
            if check:
                drain.usable(min(_LOOK, max(0.0, deadline - time.monotonic())))
            drained = drain.flush(deadline, tell)
            return drain.progress().result(drained=drained, dry_run=job.dry_run, error=drain.refused)
        finally:
            drain.end()
            running.join(_RECORD)
