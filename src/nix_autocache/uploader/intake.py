"""Entries out of the queue, planned, and into work."""

from __future__ import annotations

from typing import Final

from ..errors import StoreError, as_error, one_line
from ..nix.store_client import StoreClient
from ..queue.directory import Queue
from ..queue.entry import Entry
from ..system import log
from .ledger import Ledger
from .plan import Policy, plan
from .tasks import Tasks

WINDOW: Final = 2000  # paths in work, so that memory does not grow with the queue


class Intake:
    """Takes what `queue` holds as long as there is room for it; used by one thread."""

    def __init__(self, queue: Queue, store: StoreClient, policy: Policy, tasks: Tasks, ledger: Ledger) -> None:
        self._queue, self._store, self._policy, self._tasks, self._ledger = queue, store, policy, tasks, ledger

    def take(self) -> bool:
        """Start the work on new entries. Returns whether there were any. Raises OSError if the queue cannot be read."""
        room = WINDOW - self._ledger.in_work
        entries = self._queue.take(self._ledger.entries(), limit=room) if room > 0 else []
        if entries:
            self._admit(entries)
        return bool(entries)

    def _admit(self, entries: list[Entry]) -> None:
        """Plan entries and start the work on their paths. Where that fails, each is planned by itself."""
        try:
            planned = plan(entries, self._store, self._policy, self._ledger.known)
            realised = {name: self._tasks.realise(found) for name, found in planned.realised.items()}
        except Exception as error:
            if not isinstance(error, StoreError):
                log.exception()
            if len(entries) == 1 or isinstance(error, StoreError):  # Nix cannot be asked at all
                self._ledger.reject(entries, one_line(as_error(error)))
                return
            for entry in entries:
                self._admit([entry])
            return
        for entry in entries:
            if not entry.outputs:
                self._queue.protect(planned.outputs[entry.name])
        self._tasks.start(planned, realised)
