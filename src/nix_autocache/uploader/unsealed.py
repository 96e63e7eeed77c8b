"""What is in the cache, and is not visible to others before the cache seals it; see `ObjectCache.seal`.

No narinfo becomes visible before those of its references, so that it may be put as soon as these are in the cache. The
outcome of a path is told, and its entry leaves the queue, only when it is sealed: an uploader that is killed before
that has lost nothing. Not for two threads at once; `Ledger` locks it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from ..nix.store import StorePath
from ..queue.outcomes import Outcome
from .graph import VISIBLE

_IN_CACHE: Final = VISIBLE - {"upstream"}
_LOOK: Final = 1.0  # seconds between two looks at what a cache has sealed by itself

Sealed: TypeAlias = Callable[[StorePath], bool]
"""True if others see a path. Answers at once."""


class Unsealed:
    """Outcomes that are held back; none where there is no `sealed`: others see there at once what was put."""

    def __init__(self, sealed: Sealed | None) -> None:
        self._sealed = sealed
        self._held: dict[str, Outcome] = {}
        self._lost: dict[str, Outcome] = {}  # what was held when a seal failed; the cache may have it all the same
        self._looked = 0.0

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, path: object) -> bool:
        return path in self._held

    def hold(self, settled: Iterable[Outcome]) -> Iterable[Outcome]:
        """Hold back what is not sealed. Returns the others."""
        if not self._sealed:
            return settled
        return [outcome for outcome in map(self._restored, settled) if not self._held_back(outcome)]

    def take_sealed(self) -> list[Outcome]:
        """What the cache has sealed by itself; it is not asked each time."""
        if not self._held or time.monotonic() - self._looked < _LOOK:
            return []
        self._looked = time.monotonic()
        return self._take([outcome for outcome in self._held.values() if self._is_sealed(outcome)])

    def take_all(self) -> list[Outcome]:
        """The cache has sealed everything."""
        return self._take([*self._held.values()])

    def take_lost(self) -> list[Outcome]:
        """What is not sealed, and will not be. If the cache has it all the same, it has it from us."""
        lost = self._take([outcome for outcome in self._held.values() if not self._is_sealed(outcome)])
        self._lost.update((outcome.path, outcome) for outcome in lost)
        return lost

    def _restored(self, outcome: Outcome) -> Outcome:
        """The outcome; where a path is found that was pushed before a seal failed, it was pushed."""
        if outcome.what not in _IN_CACHE:
            return outcome
        earlier = self._lost.pop(outcome.path, outcome)
        return earlier if outcome.what == "present" else outcome

    def _held_back(self, outcome: Outcome) -> bool:
        if outcome.what not in _IN_CACHE or self._is_sealed(outcome):
            return False
        self._held.setdefault(outcome.path, outcome)  # one that was pushed, and is found there now, was pushed
        return True

    def _is_sealed(self, outcome: Outcome) -> bool:
        assert self._sealed, "else nothing is held"
        return self._sealed(StorePath(outcome.path))

    def _take(self, outcomes: list[Outcome]) -> list[Outcome]:
        for outcome in outcomes:
            del self._held[outcome.path]
        return outcomes
