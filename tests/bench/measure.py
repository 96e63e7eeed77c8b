"""Measuring in turn: every contender once, then every contender again, so that a slow moment hits all alike."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """Seconds per contender, in order of the rounds."""

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, other: str) -> float:
        """The median of the ratios round by round."""
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return statistics.median(one / two for one, two in pairs)

    def show(self, title: str) -> None:
        print(f"\n{title}", flush=True)
        for name, values in self.seconds.items():
            low, high = min(values), max(values)
            print(f"  {name:<44} {self.median(name):8.3f} s   ({low:.3f} to {high:.3f}, {len(values)} rounds)")


def in_turn(contenders: Mapping[str, Callable[[], float]], rounds: int) -> Figures:
    """Each contender is called once a round and gives its seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            seconds[name].append(run())
    return Figures(seconds)


def verdict(what: str, value: float, limit: float, *, at_least: bool = False) -> None:
    """A line that says whether a goal is met."""
    met = value >= limit if at_least else value <= limit
    word = "at least" if at_least else "at most"
    print(f"  {'ok  ' if met else 'MISS'} {what}: {value:.2f} ({word} {limit})", flush=True)
