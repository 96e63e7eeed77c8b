"""The job's summary: what others wrote is text in it, and nothing else."""

import re
from pathlib import Path

import pytest

from nix_autocache.ci.detect import detect
from nix_autocache.job import report
from nix_autocache.queue.outcomes import Outcome
from nix_autocache.uploader.progress import FlushResult

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
