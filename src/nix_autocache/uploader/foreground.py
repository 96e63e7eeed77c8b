"""Runs the drain in this process: for `push`, and for a flush when no uploader is alive.

`connect` first starts what is slow to answer, before the modules of an upload are even loaded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..caches import opening
from ..errors import Error
from ..nix.store import Nix
from ..nix.store_client import StoreClient
from ..nix.store_url import CacheUrl
from ..system.dataclass import dataclass

if TYPE_CHECKING:
    from ..caches.protocol import Cache
    from .progress import FlushResult, Progress
    from .spec import UploadSpec

_CHECK: Final = 5.0  # seconds for the cache to show whether it can be used
_EXTRA: Final = 8  # connections beside one for each entry: for nix-cache-info, for references, for the first archives
_COUNTED: Final = 100  # entries; more of them do not make more connections
_YIELD: Final = 1.0  # seconds for an uploader that was told to stop
_RECORD: Final = 1.0  # seconds for the drain to write its records


@dataclass(frozen=True)
class Connected:
    """Connections to Nix and to the cache. `cache` is None if it needs credentials or a key first."""

    store: StoreClient
    cache: Cache | None


def connect(nix: Nix, url: CacheUrl, environ: Mapping[str, str], entries: int) -> Connected:
    """Start Nix, and connect to the cache if its URL is enough for that, to push this number of entries."""
    store = StoreClient(nix)
    with suppress(OSError):  # the drain's first query will raise it
        store.begin()
    return Connected(store, opening.open_early(url, environ, _EXTRA + entries))


def drain_here(
    spec: UploadSpec,
    deadline: float,
    tell: Callable[[Progress], None],
    *,
    connected: Connected | None = None,
    check: bool = False,
) -> FlushResult:
    """Empty the queue of `spec` before the monotonic clock passes `deadline`.

    With `check`, raises CacheError if the cache cannot be used; without, the paths fail with that reason.
    Raises Error if another process drains this queue.
    """
    queue = spec.open_queue()
    with queue.lock(_YIELD) as held:
        if not held:
            raise Error(f"another uploader has {queue.directory} and does not answer; end it, then flush again")
        if connected is None:
            entries = sum(1 for _ in islice(queue.names(), _COUNTED))
            access = spec.access
            connected = connect(access.nix, access.url, access.environ, entries)
        drain = spec.drain(spec.pusher(connected.cache), connected.store)
        running = threading.Thread(target=drain.run, name="drain", daemon=True)
        running.start()
        try:
            if check:
                drain.usable(min(_CHECK, max(0.0, deadline - time.monotonic())))
            drained = drain.flush(deadline, tell)
            return drain.progress().result(drained=drained, dry_run=spec.dry_run, error=drain.refused)
        finally:
            drain.end()
            running.join(_RECORD)
