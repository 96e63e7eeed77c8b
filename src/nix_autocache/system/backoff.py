"""The pauses before a program of ours is started again after it ended."""

from __future__ import annotations

from typing import Final

_PAUSES: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)  # seconds, after each early end; then always the last
_STEADY: Final = 10.0  # seconds after which an end is no longer early
LONGEST: Final = _PAUSES[-1]


class Backoff:
    """Grows with each early end, and begins again after a run that was long enough."""

    def __init__(self) -> None:
        self._failures = 0

    def after(self, lived: float, *, wanted: bool) -> float | None:
        """Seconds to wait after a run of `lived` seconds; None if its end was not early, or was `wanted`."""
        if lived > _STEADY or wanted:
            self._failures = 0
            return None
        self._failures += 1
        return _PAUSES[min(self._failures, len(_PAUSES)) - 1]
