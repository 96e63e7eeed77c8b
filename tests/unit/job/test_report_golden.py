"""The log and the summary of a flush, as people read them.

After a change that is meant: `GOLDEN=write .venv/bin/python -m pytest tests/unit/job`.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from nix_autocache.ci.detect import detect
from nix_autocache.errors import DeadlineError, Error
from nix_autocache.job import report
from nix_autocache.job.report import Result
from nix_autocache.queue.outcomes import Outcome
from nix_autocache.system.dataclass import replace
from nix_autocache.uploader.progress import FlushResult
from tests.harness.paths import path

GOLDEN = Path(__file__).with_name("golden")
GITLAB = {"CI_JOB_ID": "1", "CI_PIPELINE_SOURCE": "push"}
OPEN = {4: "the job's user is root, so its code could read the key"}
BUSY = "s3://bucket: HTTP status 503 Slow Down"


def outcomes(what: str, *names: str, size: int = 0, reason: str = "") -> tuple[Outcome, ...]:
    return tuple(Outcome(path(name), what, size, reason) for name in names)


def numbered(what: str, count: int, reason: str = "") -> tuple[Outcome, ...]:
    return outcomes(what, *(f"path-{number:02}" for number in range(count)), size=0 if reason else 1000, reason=reason)


WHOLE = Result(
    outcomes=(
        *outcomes("pushed", "hello", "glibc", size=1_234_567),
        *outcomes("signed", "zlib"),
        *outcomes("present", "bash", "coreutils"),
        *outcomes("upstream", "gcc"),
        *outcomes("skipped", "secret-config"),
    ),
    flush=FlushResult(left=0),
    waited=1.2,
    unsolved={},
    dry_run=False,
)
FAILED = outcomes("failed", "chrome", reason="nar/x: HTTP status 413 Payload Too Large")
RESULTS: dict[str, Result] = {
    "nothing": replace(WHOLE, outcomes=(), waited=0.0),
    "everything": WHOLE,
    "open": replace(WHOLE, unsolved=OPEN),
    "one-failed": replace(WHOLE, outcomes=(*WHOLE.outcomes, *FAILED), unsolved=OPEN),
    "many-failed": replace(WHOLE, outcomes=numbered("failed", 22, "the path changed on disk")),
    "read-only": replace(WHOLE, outcomes=numbered("refused", 3, "the cache lets this job only read")),
    "not-in-time": replace(WHOLE, flush=FlushResult(left=3, why=BUSY), waited=600.0),
    "no-uploader": replace(WHOLE, outcomes=(), flush=FlushResult(left=0, why="the uploader is gone")),
    "full-disk": replace(WHOLE, flush=FlushResult(left=0, unrecorded={"pushed": 2, "failed": 1})),
    "all-at-once": replace(
        WHOLE, outcomes=FAILED, flush=FlushResult(left=2, why=BUSY, unrecorded={"pushed": 1}), unsolved=OPEN
    ),
    "dry-run": replace(WHOLE, outcomes=numbered("pushed", 22), dry_run=True, unsolved=OPEN),
    "dry-run-without-cache": replace(
        WHOLE, outcomes=numbered("pushed", 1), flush=FlushResult(left=0, why="it was not asked: no credentials"),
        dry_run=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_log_and_summary_are_as_they_should_be(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = tmp_path / "summary"
    report.flushed(detect({"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}), RESULTS[name], "warn")
    said = {"log": capsys.readouterr().out, "md": summary.read_text()}
    for kind, text in said.items():
        golden = GOLDEN / f"{name}.{kind}"
        if os.environ.get("GOLDEN") == "write":
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(text)
        assert text == golden.read_text()


@pytest.mark.parametrize("name", RESULTS)
def test_a_failure_is_one_error_after_the_whole_report(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is a warning with `on-failure: warn` is raised with `fail`; a report without one raises nothing."""
    summary, result = tmp_path / "summary", RESULTS[name]
    host = detect({"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)})
    raised: Error | None = None
    try:
        report.flushed(host, result, "fail")
    except Error as error:
        raised = error
    log = (GOLDEN / f"{name}.log").read_text()
    warning = log.partition("::warning title=nix-autocache::")[2].strip()
    assert str(raised or "") == warning
    assert isinstance(raised, DeadlineError) == bool(result.flush.left)
    assert capsys.readouterr().out == log.partition("::warning")[0]
    assert summary.read_text() == (GOLDEN / f"{name}.md").read_text()


def test_no_golden_file_is_left_over() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {f"{name}.{kind}" for name in RESULTS for kind in ("log", "md")}


def figures(directory: Path, result: Result) -> Mapping[str, str]:
    with suppress(Error):
        report.flushed(
            detect({"CI_JOB_ID": "1", "CI_PIPELINE_SOURCE": "push", "CI_PROJECT_DIR": str(directory)}), result, "fail"
        )
    lines = (directory / ".nix-autocache/metrics.txt").read_text().splitlines()
    return {name: figure for name, _, figure in (line.partition(" ") for line in lines)}


def test_gitlab_gets_the_same_numbers_as_figures(tmp_path: Path) -> None:
    found = figures(tmp_path, RESULTS["all-at-once"])
    assert found["nix_autocache_paths_pushed"] == "1", "what the disk did not take counts"
    assert found["nix_autocache_paths_failed"] == "1"
    assert found["nix_autocache_paths_not_in_time"] == "2"
    assert figures(tmp_path, WHOLE)["nix_autocache_bytes_pushed"] == "2.46913e+06"
