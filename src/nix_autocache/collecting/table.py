"""A report of the collector for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from .report import Count, Report

_SHOWN: Final = 20  # names of objects or of branches
_WIDTH: Final = 28  # characters at least, of the first column
Row = tuple[str, str, str, str]
"""What, then paths, archives without a path, and bytes."""


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def rows(report: Report) -> Iterator[Row]:
    """The table. Of a dry run, what would be."""
    yield _row("in the cache", report.objects)
    for reason, (paths, of_paths) in report.kept.items():
        if paths:
            yield (f"kept: {reason}", f"{paths:,}", "", size(of_paths))
    for scope, (paths, of_paths) in islice(report.scopes.items(), _SHOWN):
        yield (f"kept, used by {report.names.get(scope, scope)}", f"{paths:,}", "", size(of_paths))
    if len(report.scopes) > _SHOWN:
        yield (f"kept, used by {len(report.scopes) - _SHOWN:,} more branches", "", "", "")
    later = "would be deleted" if report.dry_run else "doomed: too many at once" if report.refused else "announced"
    if not report.waits:
        yield _row(later, report.doomed)
        yield _row("deleted", report.deleted)
    for what, count in (("spared: needed again", report.spared), ("not closed", len(report.mended))):
        if count:
            yield (what, f"{count:,}", "", "")


def notes(report: Report) -> Iterator[str]:
    """What follows the table, a line each."""
    if report.waits:
        minutes = math.ceil(report.waits / 60)
        yield f"{report.waiting:,} names were announced, and may be deleted in {minutes} minutes; run gc again then"
    elif report.doomed.paths + report.doomed.archives and not report.refused and not report.dry_run:
        yield "the next run deletes what is announced and still not needed"
    if report.too_large:
        yield (
            f"{size(report.too_large)} more than --max-size are left: pins, the newest run of each job and what is "
            "younger than a day stay; unpin something, or give a larger --max-size"
        )
    if report.refused and report.dry_run:
        yield f"a run would refuse this: {report.refused}"
    word = "would be removed" if report.dry_run else "removed"
    for what, names in ((word, report.mended), ("could not be deleted", report.failed)):
        for name, why in islice(names.items(), _SHOWN):
            yield f"{what}: {name}: {why}"
        if len(names) > _SHOWN:
            yield f"{what}: {len(names) - _SHOWN:,} more"


def lines(report: Report) -> Iterator[str]:
    """For a log."""
    table = [("", "paths", "archives", "bytes"), *rows(report)]
    width = max(_WIDTH, *(len(what) for what, *_ in table))
    for what, paths, archives, size_ in table:
        yield f"{what:<{width}} {paths:>10} {archives:>10} {size_:>10}"
    yield from notes(report)


def markdown(report: Report) -> str:
    """For the summary page of a job."""
    head = "### nix-autocache gc" + (" (dry run)" if report.dry_run else "")
    table = [f"| {' | '.join(map(_cell, row))} |" for row in rows(report)]
    said = [f"- `{line.replace('`', chr(39))}`" for line in notes(report)]
    return "\n".join([head, "", "| | paths | archives | bytes |", "|---|--:|--:|--:|", *table, "", *said, ""])


def as_json(report: Report) -> dict[str, Any]:
    """For programs: bytes and counts as numbers."""
    counts = {name: vars(getattr(report, name)) for name in ("objects", "doomed", "deleted")}
    kept = {reason: {"paths": paths, "bytes": of_paths} for reason, (paths, of_paths) in report.kept.items()}
    scopes = [
        {"scope": report.names.get(scope, scope), "paths": paths, "bytes": of_paths}
        for scope, (paths, of_paths) in report.scopes.items()
    ]
    rest = ("dry_run", "spared", "read", "waits", "waiting", "refused", "too_large", "mended", "failed")
    return {**counts, "kept": kept, "scopes": scopes, **{name: getattr(report, name) for name in rest}}


def _row(what: str, count: Count) -> Row:
    return (what, f"{count.paths:,}", f"{count.archives:,}", size(count.bytes))


def _cell(text: str) -> str:
    """A branch may have almost any name."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("`", "&#96;")
