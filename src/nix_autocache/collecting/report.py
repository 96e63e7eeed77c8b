"""What a run of the collector found and did."""

from __future__ import annotations

from collections.abc import Mapping

from ..system.dataclass import dataclass, field


@dataclass
class Count:
    """Paths, archives without a path, and bytes."""

    paths: int = 0
    archives: int = 0
    bytes: int = 0


@dataclass
class Report:
    """`kept` has paths and bytes by the first reason that applies, `scopes` those that the runs of each branch keep,
    counted for each; `names` are what people call them. `doomed` is announced, and deleted by the next run;
    `refused` says why it was not announced; `too_large` are the bytes above --max-size that stay all the same. `spared`
    paths were announced and are needed again.

    The `waiting` names of an earlier list may be deleted in `waits` seconds. `mended` are narinfos that were not
    closed, with why; `failed` objects that could not be deleted, with why.
    """

    dry_run: bool = False
    objects: Count = field(default_factory=Count)
    kept: dict[str, tuple[int, int]] = field(default_factory=dict)
    scopes: dict[str, tuple[int, int]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    doomed: Count = field(default_factory=Count)
    deleted: Count = field(default_factory=Count)
    spared: int = 0
    read: int = 0
    waits: float = 0.0
    waiting: int = 0
    refused: str = ""
    too_large: int = 0
    mended: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
