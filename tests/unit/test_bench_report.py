"""The page of figures says for each goal whether it was met, and the pictures are the same for the same figures."""

import json
from pathlib import Path

import pytest

from tests.bench import report

ROWS = [
    {"bench": "push"},
    {"title": "61 paths", "seconds": {"nix copy": [6.0, 5.0, 7.0], "push": [0.5, 0.4, 0.6]}},
    {"goal": "times faster", "value": 12.0, "limit": "at least 12", "met": True},
    {"note": "The server took 9%."},
    {"growth": "a push", "paths": [61, 201], "seconds": [0.5, 0.7]},
    {"bench": "memory"},
    {"goal": "MB at most", "value": 160.0, "limit": "at most 150", "met": False},
]


@pytest.mark.slow
def test_figures_become_a_page_and_pictures(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    written = report.write(rows, tmp_path, quick=False)
    names = {path.name for path in written}
    assert names == {"performance-figures.md", "performance-pushing.svg", "performance-growth.svg"}
    page = written[0].read_text()
    assert "| push | 0.500 | 0.400 | 0.600 | 3 | 0.08 |" in page
    assert "| times faster | 12.00 | at least 12 | met |" in page
    assert "\nThe server took 9%.\n" in page
    assert "| MB at most | 160.00 | at most 150 | **missed** |" in page
    pictures = {path: path.read_text() for path in written[1:]}
    report.write(rows, tmp_path, quick=False)
    assert pictures == {path: path.read_text() for path in written[1:]}
