"""Reports: text of others is no markup, and each number is from where it is known."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from nix_autocache.ci.detect import detect
from nix_autocache.job import report
from nix_autocache.queue.directory import Queue
from nix_autocache.queue.outcomes import Outcome
from nix_autocache.uploader.process.protocol import Reply
from nix_autocache.uploader.progress import FlushResult, Progress
from tests.harness.paths import path

MARKUP = [
    "![x](https://evil.example/x.png)",
    "[sign in again](https://evil.example)",
    "<img src=https://evil.example>",
    "<details><summary>x</summary>",
    "</code></li></ul><h1>x</h1>",
    "`<b>x</b>`",
    "``` \n# heading\n- list",
    "x\n\n| a | b |\n|---|---|",
    "@everybody #1 **bold** ~~x~~ https://evil.example",
    "\u2028# heading\u2029\x85# heading\r# heading\x0b\x0c\x1c",
    "\x1b[31mred\x00\u202etxt.exe",
    "\\`[x](y)\\`",
    "&lt;b&gt;",
    "::error::x",
    "`",
    "",
    "x" * 100_000,
]


def summary(tmp_path: Path, failed: list[Outcome], unsolved: dict[int, str]) -> str:
    file = tmp_path / "summary"
    file.unlink(missing_ok=True)
    host = detect({"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(file)})
    flush = FlushResult(left=0)
    result = report.Result(outcomes=tuple(failed), flush=flush, waited=0.0, unsolved=unsolved, dry_run=False)
    report.flushed(host, result, "warn")
    return file.read_text()


@pytest.mark.parametrize("text", MARKUP, ids=range(len(MARKUP)))
def test_text_of_others_is_no_markup_in_the_summary(tmp_path: Path, text: str) -> None:
    plain = summary(tmp_path, [Outcome("path", "failed", reason="reason")], {2: "reason", 4: "reason"})
    found = summary(tmp_path, [Outcome(text, "failed", reason=text)], {2: text, 4: text})
    without = re.sub("`[^`\n]+`", "`…`", found)
    assert without == re.sub("`[^`\n]+`", "`…`", plain)
    assert len(found) < 10_000
    assert all(letter.isprintable() or letter == "\n" for letter in found)


def test_an_interruption_names_what_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue = Queue(tmp_path)
    queue.create()
    host = detect({})
    with pytest.raises(KeyboardInterrupt), report.interruption(host, queue):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "warning: interrupted, not pushed: nothing\n"
    for number in range(7):
        queue.add(f"{path(f'build-{number}').base}.drv", [])
    with pytest.raises(KeyboardInterrupt), report.interruption(host, queue):
        raise KeyboardInterrupt
    builds = "build-0, build-1, build-2, build-3, build-4 and 2 more"
    assert capsys.readouterr().err == f"warning: interrupted, not pushed: {builds}\n"


def test_the_status_is_of_the_uploader_or_of_the_queue(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.create()
    queue.add(f"{path('waits').base}.drv", [])
    without = report.status(None, None, queue)
    assert (without["set_up"], without["uploader"], without["waiting"]) == (False, False, 1)
    assert without["reason"] == "nothing was set up in this job"
    progress = Progress(counts={"pushed": 2}, pushed_bytes=10, waiting=5, unsealed=3)
    alive = report.status(None, Reply(progress=progress, drained=False, error="no credentials"), queue)
    assert (alive["uploader"], alive["counts"], alive["pushed_bytes"]) == (True, {"pushed": 2}, 10)
    assert (alive["waiting"], alive["unsealed"], alive["error"]) == (5, 3, "no credentials")
    assert alive.keys() == without.keys()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (1_250_000, "1.2 MB"), (10**9, "1.0 GB"), (10**13, "10000.0 GB")],
)
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert report.size(count) == text


def test_progress_is_a_line_every_five_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(report, "time", SimpleNamespace(monotonic=lambda: now[0]))
    lines = report.ProgressLines(detect({}))
    for second in range(1, 13):
        now[0] = second
        trouble = "HTTP status 503" if second > 5 else ""
        lines(Progress(counts={"pushed": second}, pushed_bytes=1000 * second, waiting=20 - second, trouble=trouble))
    assert capsys.readouterr().err.splitlines() == [
        "5 pushed, 5.0 KB; 15 to go",
        "10 pushed, 10.0 KB; 10 to go; the last trouble was: HTTP status 503",
    ]
