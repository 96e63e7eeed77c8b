"""What the user of `gc` decides."""

from __future__ import annotations

from ..caches.run_record import DAY
from ..system.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Inputs of `gc`. `max_size` is in bytes, None for any; `at_most` is a share of 1; `given` are hash parts.

    What is younger than `grace` seconds is never announced.
    """

    keep_days: float = 30
    keep_runs: int = 1
    max_size: int | None = None
    at_most: float = 0.3
    given: tuple[str, ...] = ()
    grace: float = DAY
