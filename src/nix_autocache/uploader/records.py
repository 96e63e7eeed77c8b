"""What is settled, on disk: outcomes into outcomes.jsonl, finished entries out of the queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ..queue.directory import Queue
from ..queue.outcomes import Outcome
from ..system import log
from .entries import Pending
from .ledger import Ledger


class Records:
    """Writes what `ledger` settles into `queue`'s directory; used by one thread."""

    def __init__(self, queue: Queue, ledger: Ledger) -> None:
        self._queue, self._ledger = queue, ledger
        self._unwritten: list[Outcome] = []  # a full disk has no room for them

    @property
    def unwritten(self) -> Mapping[str, int]:
        """Paths per outcome that outcomes.jsonl lacks."""
        return Counter(outcome.what for outcome in self._unwritten)

    def write(self) -> set[str]:
        """Write what was settled since the last call. Returns the names of the entries that are finished.

        Outcomes come first: an uploader that is killed between the two settles a path again, and never loses one.
        """
        settled, finished = self._ledger.take_settled()
        outcomes = self._unwritten + settled
        written = not outcomes or self._queue.outcomes.record(outcomes)
        self._unwritten = [] if written else outcomes
        for pending in finished:
            if self._leave(pending):
                self._ledger.forget_entry(pending.entry.name)
        return {pending.entry.name for pending in finished}

    def _leave(self, pending: Pending) -> bool:
        """Take an entry from the queue. One that cannot be taken away is not begun again in this process."""
        try:
            if pending.reason:
                return self._queue.fail(pending.entry, pending.reason)
            return self._queue.done(pending.entry, pending.outputs)
        except Exception:  # an entry may hold anything
            log.exception()
            return False
