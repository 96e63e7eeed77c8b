"""Measuring in turn: every contender once, then every contender again, so that a slow moment hits all alike.

What is shown is also written down for the page with all figures, if the whole benchmark runs (`report.py`).
"""

import json
import os
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROWS = "NIX_AUTOCACHE_BENCH_ROWS"
"""The variable with the file that rows are appended to, one JSON object a line."""
QUICK = "NIX_AUTOCACHE_BENCH_QUICK"


def is_quick() -> bool:
    """True under `make bench-quick`: one round, and no row that takes minutes."""
    return bool(os.environ.get(QUICK))


def rounds(number: int) -> int:
    return 1 if is_quick() else number


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

    def interval(self, name: str, other: str) -> tuple[float, float]:
        """The bounds of the median ratio, at 95 %, by resampling the rounds."""
        ratios = [one / two for one, two in zip(self.seconds[name], self.seconds[other], strict=True)]
        drawn = random.Random(0)
        medians = sorted(statistics.median(drawn.choices(ratios, k=len(ratios))) for _ in range(2000))
        return medians[50], medians[1949]

    def show(self, title: str) -> None:
        print(f"\n{title}", flush=True)
        for name, values in self.seconds.items():
            low, high = min(values), max(values)
            print(f"  {name:<44} {self.median(name):8.3f} s   ({low:.3f} to {high:.3f}, {len(values)} rounds)")
        _write_row({"title": title, "seconds": dict(self.seconds)})


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
    _write_row({"goal": what, "value": value, "limit": f"{word} {limit}", "met": met})


def note(text: str) -> None:
    """A line that goes with the figures above it."""
    print(f"  {text}", flush=True)
    _write_row({"note": text})


def growth(what: str, seconds: Mapping[int, float]) -> None:
    """Note the seconds by the number of paths, for a picture."""
    _write_row({"growth": what, "paths": list(seconds), "seconds": list(seconds.values())})


def _write_row(row: Mapping[str, object]) -> None:
    if path := os.environ.get(ROWS):
        with open(path, "a") as file:
            file.write(json.dumps(row) + "\n")
