"""Outcomes told to people: the log, one warning, the job's summary page; and the exit status that follows.

Never says "all" when it is not; the four limitations stand in every report, each with yes or the reason for no.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..ci.console import Console
from ..errors import DeadlineError, Error
from ..queue.directory import Queue
from ..queue.outcomes import Outcome
from ..settings import OnFailure
from ..system.dataclass import dataclass
from ..trust.policy import ASSUMED, LIMITATIONS
from ..uploader.progress import FlushResult, Progress

if TYPE_CHECKING:
    from ..uploader.process.protocol import Reply
    from .state import JobState

_WORDS: Final = {
    "pushed": "pushed",
    "signed": "signed again",
    "present": "already there",
    "upstream": "upstream",
    "skipped": "skipped",
    "failed": "NOT pushed",
}
_NOT_PUSHED: Final = frozenset({"failed", "refused"})
_SHOWN: Final = 20  # paths named one by one
_NAMED: Final = 5  # builds named in one line
_LONGEST: Final = 1000  # characters of a text of others
_EVERY: Final = 5.0  # seconds between lines of progress


@dataclass(frozen=True, kw_only=True)
class Result:
    """The end of a flush; `waited` is in seconds."""

    outcomes: tuple[Outcome, ...]
    flush: FlushResult
    waited: float
    unsolved: Mapping[int, str]
    dry_run: bool

    @property
    def failed(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.what in _NOT_PUSHED)

    @property
    def pushed_bytes(self) -> int:
        return sum(outcome.bytes for outcome in self.outcomes)


class PacedLines:
    """Writes a line every few seconds, of the many that it is called with."""

    def __init__(self, host: Console) -> None:
        self._host = host
        self._last = time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._last >= _EVERY:
            self._last = time.monotonic()
            self._host.info(text)


class ProgressLines:
    """A line of progress every few seconds, for as long as there is something to wait for."""

    def __init__(self, host: Console) -> None:
        self._lines = PacedLines(host)

    def __call__(self, progress: Progress) -> None:
        pushed = progress.counts.get("pushed", 0)
        trouble = f"; the last trouble was: {progress.trouble}" if progress.trouble else ""
        self._lines(f"{pushed} pushed, {size(progress.pushed_bytes)}; {progress.waiting} to go{trouble}")


def flushed(host: Console, result: Result, on_failure: OnFailure) -> None:
    """Tell what became of everything that was queued. With `on_failure: fail`, raises for what was not pushed."""
    counts = Counter(outcome.what for outcome in result.outcomes) + Counter(result.flush.unrecorded)
    counts["failed"] += counts.pop("refused", 0)
    parts = [f"{counts[what]} {word}" for what, word in _WORDS.items() if counts[what] or what == "pushed"]
    would = "dry run, nothing was written; would be: " if result.dry_run else ""
    host.info(f"{would}{', '.join(parts)}; {size(result.pushed_bytes)} in {result.waited:.1f} s of waiting")
    if result.dry_run:
        _tell_what_would_be(host, result)
    for outcome in result.failed[:_SHOWN]:
        host.info(f"NOT pushed: {outcome.path}: {outcome.reason}")
    host.summarize(_summary(result, counts))
    host.measure(_figures(result, counts))
    complaint = _complaint(result)
    if complaint and on_failure == "fail":
        raise (DeadlineError if result.flush.left else Error)(complaint)
    if complaint:
        host.warning(complaint)


def _tell_what_would_be(host: Console, result: Result) -> None:
    if result.flush.why and not result.flush.left:
        host.info(f"the cache: {result.flush.why}")
    paths = [str(outcome.path) for outcome in result.outcomes if outcome.what == "pushed"]
    for path in paths[:_SHOWN]:
        host.info(f"would be pushed: {path}")
    if len(paths) > _SHOWN:
        host.info(f"would be pushed: {len(paths) - _SHOWN} more")


@contextmanager
def interruption(host: Console, queue: Queue) -> Iterator[None]:
    """Say what was not pushed when this block is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        names = sorted(name[33:].removesuffix(".drv") for name in queue.names())
        others = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        host.warning(f"interrupted, not pushed: {', '.join(names[:_NAMED]) or 'nothing'}{others}")
        raise


def status(state: JobState | None, answer: Reply | None, queue: Queue) -> dict[str, Any]:
    """How far the uploads are, for people and programs."""
    progress = answer.progress if answer else None
    return {
        "set_up": state is not None,
        "mode": state.mode if state else "",
        "push": bool(state and state.push),
        "reason": state.reason if state else "nothing was set up in this job",
        "uploader": answer is not None,
        "counts": dict(progress.counts) if progress else {},
        "pushed_bytes": progress.pushed_bytes if progress else 0,
        "waiting": progress.waiting if progress else sum(1 for _ in queue.names()),
        "unsealed": progress.unsealed if progress else 0,
        "failed": queue.failures(),
        "error": answer.error if answer else "",
    }


def limitations(unsolved: Mapping[int, str]) -> Iterable[str]:
    """A line for each of the four."""
    for number, text in LIMITATIONS.items():
        yes = f"yes, assuming that {'; '.join(ASSUMED)}" if number == max(LIMITATIONS) else "yes"
        yield f"{number}. {text}: {f'no, {unsolved[number]}' if number in unsolved else yes}"


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("the last unit takes everything")


def _complaint(result: Result) -> str:
    """One line that says what is not in the cache; empty when everything is."""
    parts = []
    flush = result.flush
    if flush.left:
        why = f" ({flush.why})" if flush.why else ""
        parts.append(f"{flush.left} paths were not pushed in time{why}; they stay queued for the next flush")
    elif flush.why and not result.dry_run:
        parts.append(flush.why)
    if flush.unrecorded:
        parts.append(f"the disk did not take {sum(flush.unrecorded.values())} lines of outcomes.jsonl")
    if result.failed:
        first = result.failed[0]
        others = f" and {len(result.failed) - 1} more" if len(result.failed) > 1 else ""
        parts.append(f"not pushed: {first.path}{others}: {first.reason}")
    return "; ".join(parts)


def _figures(result: Result, counts: Counter[str]) -> dict[str, float]:
    paths = {f"paths_{what}": float(counts[what]) for what in _WORDS}
    return {**paths, "paths_not_in_time": result.flush.left, "bytes_pushed": result.pushed_bytes}


def _summary(result: Result, counts: Counter[str]) -> str:
    rows = [f"| {word} | {counts[what]} |" for what, word in _WORDS.items()]
    if result.flush.left:
        rows.append(f"| not in time | {result.flush.left} |")
    head = "### nix-autocache" + (" (dry run)" if result.dry_run else "")
    note = f"{size(result.pushed_bytes)} pushed; the job waited {result.waited:.1f} s."
    unsolved = {number: _quoted(reason) for number, reason in result.unsolved.items()}
    solved = [f"- {line}" for line in limitations(unsolved)]
    failures = [f"- {_quoted(outcome.path)}: {_quoted(outcome.reason)}" for outcome in result.failed[:_SHOWN]]
    return "\n".join([head, "", "| paths | |", "|---|--:|", *rows, "", note, "", *failures, "", *solved, "", ""])


def _quoted(text: str) -> str:
    """Text of others as a code span, in which Markdown and HTML are but text; nor is it a link where it is copied."""
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))
    short = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
    return f"`{short.replace('`', chr(39)).replace('](', '] (') or '-'}`"
