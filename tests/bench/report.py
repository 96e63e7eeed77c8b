"""The figures of a run as a page, and as pictures that the page on performance shows.

Seconds depend on the machine, so the pictures show ratios: each contender against the first of its row.
"""

import json
import os
import statistics
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "hook": "The hook",
    "action": "The steps of the action",
    "start": "The start of the uploader",
    "install": "Installing",
    "read": "Reading",
    "push": "Pushing",
    "memory": "Queue and memory",
    "job": "A whole job",
    "hosts_cache": "GitHub's cache",
    "gc": "Garbage collection",
}
PICTURES = {"reading": ("read",), "pushing": ("push",), "job": ("hook", "job")}
COLOURS = ("#b0b0b0", "#4c8bbf", "#1b4f72", "#d98c3f", "#8e6c8a")


@dataclass
class Section:
    """One comparison: seconds of each round by contender, and goals as they were met or missed."""

    bench: str
    title: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    goals: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def medians(self) -> dict[str, float]:
        return {name: statistics.median(values) for name, values in self.seconds.items()}


def write(rows: Path, directory: Path, *, quick: bool) -> list[Path]:
    """Write the page `performance-figures.md` and `performance-*.svg`; the files."""
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    sections = _sections(found)
    page = directory / "performance-figures.md"
    page.write_text(_page(sections, quick=quick))
    pictures: dict[str, Figure] = {}
    for name, benches in PICTURES.items():
        if shown := [each for each in sections if each.bench in benches and len(each.seconds) > 1]:
            pictures[name] = _ratios(shown)
    if lines := [row for row in found if "growth" in row]:
        pictures["growth"] = _growth(lines)
    for name, picture in pictures.items():
        picture.savefig(directory / f"performance-{name}.svg", metadata={"Date": None})
    return [page, *(directory / f"performance-{name}.svg" for name in pictures)]


def _sections(rows: list[dict[str, Any]]) -> list[Section]:
    sections: list[Section] = []
    bench = ""
    for row in rows:
        bench = row.get("bench", bench)
        if "title" in row:
            sections.append(Section(bench, row["title"], row["seconds"]))
        elif "goal" in row:
            if not sections or sections[-1].bench != bench:
                sections.append(Section(bench, ""))
            sections[-1].goals.append(row)
        elif "note" in row and sections:
            sections[-1].notes.append(row["note"])
    return sections


def _page(sections: list[Section], *, quick: bool) -> str:
    how = "make bench-quick" if quick else "make bench"
    lines = [
        "# Performance: all figures",
        "",
        f"Written by `{how}` on {date.today()}, on a machine of {os.cpu_count()} processors.",
    ]
    lines += ["Quote the ratios, not the seconds: both contenders of a row share the machine with the servers."]
    for bench, title in TITLES.items():
        some = [each for each in sections if each.bench == bench]
        lines += ["", f"## {title}"] if some else []
        for section in some:
            lines += [*_table(section), *_goals(section), *(f"\n{text}" for text in section.notes)]
    return "\n".join(lines) + "\n"


def _table(section: Section) -> list[str]:
    if not section.seconds:
        return []
    medians = section.medians()
    first = next(iter(medians.values()))
    lines = [
        "",
        f"**{section.title}**",
        "",
        "| | median, s | from | to | rounds | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in section.seconds.items():
        ratio = medians[name] / first
        low, high = min(values), max(values)
        lines.append(f"| {name} | {medians[name]:.3f} | {low:.3f} | {high:.3f} | {len(values)} | {ratio:.2f} |")
    return lines


def _goals(section: Section) -> list[str]:
    if not section.goals:
        return []
    lines = ["", "| goal | measured | limit | |", "|---|---|---|---|"]
    for goal in section.goals:
        met = "met" if goal["met"] else "**missed**"
        lines.append(f"| {goal['goal']} | {goal['value']:.2f} | {goal['limit']} | {met} |")
    return lines


def _ratios(sections: list[Section]) -> "Figure":
    """Bars, as long as the time against the first contender's."""
    import matplotlib as mpl  # half a second, which only a picture needs
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "nix-autocache", "svg.fonttype": "none", "font.size": 9})
    count = sum(len(each.seconds) + 1 for each in sections)
    figure = Figure(figsize=(8.0, 0.24 * count + 0.7), layout="constrained")
    axes = figure.subplots()
    at, longest = 0.0, 0.0
    ticks: list[float] = []
    labels: list[str] = []
    for section in sections:
        medians = section.medians()
        first = next(iter(medians.values()))
        axes.text(0.0, at, section.title, va="center", fontweight="bold")
        at += 1
        for number, (name, value) in enumerate(medians.items()):
            axes.barh(at, value / first, height=0.8, color=COLOURS[number % len(COLOURS)])
            axes.text(value / first + 0.01, at, f"{value / first:.2f}  ({value:.3g} s)", va="center")
            longest = max(longest, value / first)
            ticks.append(at)
            labels.append(name)
            at += 1
    axes.set_yticks(ticks, labels)
    axes.set_ylim(at - 0.4, -0.6)
    axes.set_xlim(0, 1.2 * longest)
    axes.set_xlabel("time, as a multiple of the first bar of its group: shorter is better")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _growth(lines: list[dict[str, Any]]) -> "Figure":
    import matplotlib as mpl  # half a second, which only a picture needs
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "nix-autocache", "svg.fonttype": "none", "font.size": 9})
    figure = Figure(figsize=(6.5, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, line in enumerate(lines):
        axes.plot(line["paths"], line["seconds"], "o-", label=line["growth"], color=COLOURS[number + 1])
    axes.set(xscale="log", yscale="log", xlabel="paths", ylabel="seconds")
    axes.grid(visible=True, color="#e0e0e0")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
