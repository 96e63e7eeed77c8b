"""What this job uses of the period before of a throwaway cache goes into this period's, like anything else.

The read proxy reports which narinfos Nix was given from there. Nix asks for more than it fetches, so only what is valid
in the store by now is queued; the rest is looked at again.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import Final

from ..errors import StoreError, one_line
from ..nix.store import StorePath, parse_store_path
from ..nix.store_client import StoreClient
from ..queue.directory import Queue
from ..system import log
from .nix_reading import NixReading

_INTERVAL: Final = 10.0  # seconds between questions to Nix
_TOGETHER: Final = 500  # paths of one entry, which is read whole


class Carrying:
    """Queues what is to be carried over. For the drain's thread."""

    def __init__(self, queue: Queue, store: StoreClient, reading: NixReading) -> None:
        self._queue, self._store, self._reading = queue, store, reading
        self._waiting: dict[StorePath, None] = {}
        self._looked = -math.inf

    def queue(self, *, at_once: bool) -> None:
        """Queue what Nix has fetched since; `at_once` for those who wait for a flush. Raises OSError."""
        for text in self._reading.take_carried():
            with suppress(ValueError):
                self._waiting[parse_store_path(text, self._store.nix.store_dir)] = None
        if not self._waiting or (not at_once and time.monotonic() - self._looked < _INTERVAL):
            return
        self._looked = time.monotonic()
        try:
            valid = list(self._store.path_infos(list(self._waiting)))
        except StoreError as error:
            log.line(f"nothing is carried over for now: {one_line(error)}")
            return
        self._queue.add_paths(valid, _TOGETHER)
        for path in valid:
            del self._waiting[path]
