"""The result for each path, one line each in outcomes.jsonl beside the queue, for reports and for people.

Lines are appended whole or not at all. A path may have several lines: a later one replaces an earlier one, except that
`present` does not replace `pushed`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final

from ..system.dataclass import dataclass
from ..system.files import open_to_append

_TOGETHER: Final = 500  # lines that are parsed together, which takes half as long
_LONGEST: Final = 1 << 16  # characters of a line; a path and a reason have a few hundred


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for a path. `what` is pushed, signed (it was in the cache without a signature that readers trust),
    present (it was in the cache), upstream, skipped, failed, or refused (this job may not write to the cache). `bytes`
    is the size in the cache."""

    path: str
    what: str
    bytes: int = 0
    reason: str = ""


class Outcomes:
    """The records in a queue's directory."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "outcomes.jsonl"
        self._old = directory / "outcomes.1.jsonl"

    def record(self, outcomes: Iterable[Outcome]) -> bool:
        """Append to outcomes.jsonl. False if that failed: a full disk must not stop an upload."""
        now = round(time.time(), 3)
        rows = [{"path": o.path, "outcome": o.what, "bytes": o.bytes, "reason": o.reason, "at": now} for o in outcomes]
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        try:
            with open_to_append(self.path, 0o644) as file:
                _append(file, data)
        except OSError:
            return False
        return True

    def rotate(self, most: int) -> None:
        """Begin a new file if this one has more than `most` bytes. One old file is kept."""
        with suppress(OSError):
            if self.path.stat().st_size > most:
                self.path.rename(self._old)

    def recorded(self, since: float = 0.0) -> Iterator[Outcome]:
        """One outcome for each path with a line since that time. Torn lines are skipped."""
        last: dict[str, Outcome] = {}
        for row in chain(_rows(self._old), _rows(self.path)):
            outcome, at = _parsed(row)
            if outcome and at >= since and _replaces(outcome, last.get(outcome.path)):
                last[outcome.path] = outcome
        yield from last.values()


def _replaces(outcome: Outcome, earlier: Outcome | None) -> bool:
    """True if a later line counts instead of an earlier one: a pushed path that is found `present` stays pushed."""
    return outcome.what != "present" or earlier is None or earlier.what == "failed"


def _parsed(row: object) -> tuple[Outcome | None, float]:
    """The outcome in a row and its time; None for a foreign row."""
    if not isinstance(row, dict):
        return None, 0.0
    path, what, size, reason = (row.get(name) for name in ("path", "outcome", "bytes", "reason"))
    at = row.get("at", 0.0)
    if isinstance(path, str) and isinstance(what, str) and isinstance(size, int) and isinstance(reason, str):
        return Outcome(path, what, size, reason), at if isinstance(at, float | int) else 0.0
    return None, 0.0


def _rows(path: Path) -> Iterator[object]:
    """What the lines of a file say; None for a torn one."""
    lines = _lines(path)
    while several := list(islice(lines, _TOGETHER)):
        rows = _loaded(f"[{','.join(several)}]")
        yield from rows if isinstance(rows, list) and len(rows) == len(several) else map(_loaded, several)


def _loaded(text: str) -> object:
    """None for what is no JSON."""
    with suppress(ValueError, RecursionError):
        found: object = json.loads(text)
        return found
    return None


def _lines(path: Path) -> Iterator[str]:
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        while line := file.readline(_LONGEST):
            yield line


def _append(file: BinaryIO, data: bytes) -> None:
    """Append lines whole or not at all. A killed uploader may have left half a line, which is ended first."""
    size = file.seek(0, os.SEEK_END)
    if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
        data = b"\n" + data
    try:
        file.write(data)
        file.flush()
    except OSError:
        os.truncate(file.fileno(), size)
        raise
