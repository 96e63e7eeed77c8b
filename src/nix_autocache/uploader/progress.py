"""How far an upload is, and how a flush ended: what the uploader tells those who wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..system.dataclass import dataclass, field

if TYPE_CHECKING:
    from ..queue.directory import Queue


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Paths per outcome, the bytes uploaded, and how many paths and entries are not settled yet; `unsealed` of these
    are uploaded, and only wait for the flush that makes them visible.

    `unrecorded` of the paths per outcome are not in outcomes.jsonl, because the disk did not take them. `trouble` is
    the last thing that the cache refused or the machine lacked: it explains why an upload takes long.
    """

    counts: Mapping[str, int]
    pushed_bytes: int
    waiting: int
    unsealed: int = 0
    trouble: str = ""
    unrecorded: Mapping[str, int] = field(default_factory=dict)

    def result(self, *, drained: bool, dry_run: bool = False, error: str = "") -> FlushResult:
        """The result of a flush that ended here. With an `error`, nothing could be pushed at all."""
        if drained:
            return FlushResult(left=0, why=self.trouble if dry_run else "", unrecorded=self.unrecorded)
        return FlushResult(left=self.waiting, why=error or self.trouble, unrecorded=self.unrecorded)


@dataclass(frozen=True, kw_only=True)
class FlushResult:
    """How many paths a flush left, and why, unless only the time was short; `unrecorded` as in `Progress`.

    In a dry run that left nothing, `why` says why the cache was not asked what it has.
    """

    left: int
    why: str = ""
    unrecorded: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_queue(cls, queue: Queue, why: str) -> FlushResult:
        """The result where no uploader says how far it is: everything in the queue is left."""
        return cls(left=sum(1 for _ in queue.names()), why=why)
