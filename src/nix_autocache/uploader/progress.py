"""How far an upload is: what the uploader tells those who wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Paths per outcome, the bytes uploaded, and how many paths and entries are not settled yet.

    `unrecorded` of the paths per outcome are not in outcomes.jsonl, because the disk did not take them.
    `trouble` is what the cache said last when it did not do as asked, for those who wonder why it takes so long.
    """

    counts: Mapping[str, int]
    pushed_bytes: int
    waiting: int
    trouble: str = ""
    unrecorded: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Rest:
    """What a flush left: how many paths, and, where it was not only the time, why; see `Progress` for the third.

    In a dry run that left nothing, `why` says why the cache was not asked what it has.
    """

    paths: int
    why: str = ""
    unrecorded: Mapping[str, int] = field(default_factory=dict)
