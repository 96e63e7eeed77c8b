"""Outcomes: the last one of each path counts, and a torn line spoils no other."""

import json
import time
from pathlib import Path

from nix_autocache.queue.directory import Queue
from nix_autocache.queue.outcomes import Outcome

HASH = "0123456789abcdfghijklmnpqrsvwxyz"
OUT = f"/nix/store/{HASH}-thing"


def test_the_last_word_on_a_path_counts_and_torn_lines_do_not(queue: Queue) -> None:
    queue.outcomes.record([Outcome(OUT, "failed", reason="busy"), Outcome("/other", "present")])
    queue.outcomes.record([Outcome(OUT, "pushed", 10)])
    with open(queue.outcomes.path, "a") as file:
        file.write('{"path": "/torn", "outc')
    assert {outcome.path: outcome.what for outcome in queue.outcomes.recorded()} == {OUT: "pushed", "/other": "present"}


def test_each_line_is_read_by_itself_where_they_cannot_be_read_together(queue: Queue) -> None:
    rows = [{"path": f"/{number}", "outcome": "pushed", "bytes": 1, "reason": ""} for number in range(4)]
    one, two, three, four = (json.dumps(row) for row in rows)
    lines = [one, f"{two},{three}", "[" * 100_000, "null", '{"path": "/torn", "outc', four]
    queue.outcomes.path.write_text("\n".join(lines))
    assert [outcome.path for outcome in queue.outcomes.recorded()] == ["/0", "/3"]


def test_what_was_pushed_once_stays_pushed(queue: Queue) -> None:
    """A flush after a crash finds what the dead uploader had brought there."""
    queue.outcomes.record([Outcome(OUT, "pushed", 10)])
    queue.outcomes.record([Outcome(OUT, "present")])
    assert [outcome.what for outcome in queue.outcomes.recorded()] == ["pushed"]


def test_outcomes_of_months_fill_two_files_at_most(queue: Queue) -> None:
    for number in range(100):
        queue.outcomes.record([Outcome(f"/nix/store/{HASH}-{number}", "pushed", number)])
        queue.outcomes.rotate(1000)
    files = list(queue.directory.glob("outcomes*"))
    assert len(files) == 2
    assert sum(file.stat().st_size for file in files) < 2500
    assert [outcome.bytes for outcome in queue.outcomes.recorded()][-1] == 99


def test_outcomes_are_told_since_a_time(queue: Queue) -> None:
    queue.outcomes.record([Outcome(OUT, "pushed", 1)])
    assert list(queue.outcomes.recorded(time.time() + 60)) == []
    assert [outcome.path for outcome in queue.outcomes.recorded(time.time() - 60)] == [OUT]


def test_half_a_line_of_outcomes_does_not_spoil_the_next(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.outcomes.path.write_text('{"path": "/torn", "outc')
    assert queue.outcomes.record([Outcome("/whole", "pushed", 1)])
    assert [outcome.path for outcome in queue.outcomes.recorded()] == ["/whole"]


def test_what_cannot_be_recorded_is_told(tmp_path: Path) -> None:
    assert not Queue(tmp_path / "absent").outcomes.record([Outcome("/a", "pushed", 1)])
