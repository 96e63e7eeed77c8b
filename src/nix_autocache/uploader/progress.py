"""How far an upload is: what the uploader tells those who wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Paths per outcome, the bytes uploaded, and how many paths and entries are not settled yet."""

    counts: Mapping[str, int]
    pushed_bytes: int
    waiting: int
