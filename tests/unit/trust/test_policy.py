"""The trust matrix, cell by cell, and the events that lead into it, from payloads as the hosts send them."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from nix_autocache.ci.github import GitHub
from nix_autocache.ci.gitlab import GitLab
from nix_autocache.ci.host import Event, Host, Origin
from nix_autocache.ci.local import Local
from nix_autocache.settings import Push
from nix_autocache.trust.policy import LIMITATIONS, judge
from tests.harness import events

ORIGINS: dict[str, Origin] = {
    "push": "own",
    "tag": "own",
    "schedule": "own",
    "workflow_dispatch": "own",
    "merge_group": "own",
    "release": "own",
    "pull_request-same-repository": "own",
    "pull_request-fork": "fork",
    "pull_request-deleted-fork": "unknown",
    "pull_request_target-fork": "unknown",
    "pull_request_target-same-repository": "unknown",
    "workflow_run-fork": "fork",
    "workflow_run-deleted-fork": "unknown",
    "workflow_run-own-push": "own",
    "workflow_run-own-comment": "unknown",
    "issue_comment": "unknown",
    "unknown": "unknown",
}
OPEN, SEALED = ("the job's user is root",), ()
LACKS = "there is no signing-key"

# (isolation, credentials, origin is own, push) → (does it push, which limitations are solved, is there a warning)
PULL = (False, "", False)
Cell = tuple[tuple[str, ...], str, bool, Push]
MATRIX: dict[Cell, tuple[bool, str, bool]] = {
    (SEALED, "", True, "auto"): (True, "1234", False),
    (SEALED, "", True, "always"): (True, "1234", False),
    (SEALED, "", True, "never"): PULL,
    (SEALED, "", False, "auto"): (True, "1234", False),
    (SEALED, "", False, "always"): (True, "1234", False),
    (SEALED, "", False, "never"): PULL,
    (OPEN, "", True, "auto"): (True, "123", False),
    (OPEN, "", True, "always"): (True, "123", False),
    (OPEN, "", True, "never"): PULL,
    (OPEN, "", False, "auto"): PULL,
    (OPEN, "", False, "always"): (True, "123", True),
    (OPEN, "", False, "never"): PULL,
    **{(isolation, LACKS, own, push): PULL
       for isolation in (SEALED, OPEN) for own in (True, False) for push in ("auto", "always", "never")},
}  # fmt: skip


HOSTS = [
    (
        GitHub({"RUNNER_ENVIRONMENT": "github-hosted"}),
        {"as_text": ["signing-key"]},
        "signing-key: GitHub gives it to the post step again, and the job's code can change what that step runs",
    ),
    (
        GitHub({"RUNNER_ENVIRONMENT": "github-hosted"}),
        {"memory_is_open": True},
        "the runner had the secrets, and this kernel lets the job's code read its memory (no Yama)",
    ),
    (
        GitHub({"RUNNER_ENVIRONMENT": "github-hosted"}),
        {"by_token": True},
        "with `id-token: write`, the job's later steps can assume `aws-role` as well",
    ),
    (GitHub({}), {}, "this runner outlives its jobs, and an earlier one may have changed what runs as its user"),
    (GitLab({}), {}, "GitLab gives the job's code all that it gives to before_script, and to after_script again"),
    (Local({"CI": "true"}), {}, "this CI host is not known: it may hand to the job's code what it handed to us"),
    (Local({}), {"by_token": True}, "what began this job has the id token, and can assume `aws-role` with it"),
    (Local({}), {"as_text": ["x"]}, "x: what began this job has it in its arguments or its environment"),
]


@pytest.mark.parametrize(("host", "found", "sentence"), HOSTS)
def test_how_a_host_hands_on_secrets_is_named(host: Host, found: dict[str, Any], sentence: str) -> None:
    (way,) = host.exposures(**{"as_text": [], "by_token": False, "memory_is_open": False, **found})
    assert way.startswith(sentence)


def test_a_host_that_hands_on_nothing_is_not_named() -> None:
    for host in (GitHub({"RUNNER_ENVIRONMENT": "github-hosted"}), Local({})):
        assert list(host.exposures([], by_token=False, memory_is_open=False)) == []


def github(name: str, path: Path | None = None) -> GitHub:
    event = {"tag": "push", "unknown": "an_event_of_next_year"}.get(name, name.partition("-")[0])
    return GitHub({"GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PATH": str(path or events.GITHUB / f"{name}.json")})


def test_every_payload_is_classified_here() -> None:
    assert {path.stem for path in events.GITHUB.iterdir()} == set(ORIGINS)


@pytest.mark.parametrize(("name", "origin"), ORIGINS.items())
def test_whose_code_an_event_runs(name: str, origin: Origin) -> None:
    assert github(name).event().origin == origin


@pytest.mark.parametrize("name", ["pull_request-same-repository", "workflow_run-own-push"])
@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"pull_request": 1, "workflow_run": []}'])
def test_a_payload_that_cannot_be_read_is_of_unknown_origin(name: str, text: str, tmp_path: Path) -> None:
    broken = tmp_path / "event.json"
    broken.write_text(text)
    assert github(name, broken).event().origin == "unknown"
    assert github(name, tmp_path / "gone").event().origin == "unknown"


def test_the_matrix_has_every_cell() -> None:
    cells = itertools.product((SEALED, OPEN), ("", LACKS), (True, False), ("auto", "always", "never"))
    assert set(cells) == set(MATRIX)


@pytest.mark.parametrize(("cell", "wanted"), MATRIX.items())
def test_a_cell_of_the_matrix(cell: tuple[tuple[str, ...], str, bool, Push], wanted: tuple[bool, str, bool]) -> None:
    exposures, lacks, own, push = cell
    origins: tuple[Origin, ...] = ("own",) if own else ("fork", "unknown")
    for origin in origins:
        verdict = judge(Event(name="event", origin=origin), exposures, push, lacks=lacks)
        solved = "".join(str(number) for number in LIMITATIONS if number not in verdict.unsolved)
        assert (verdict.push, solved, bool(verdict.warning)) == wanted
        assert verdict.reason
        assert all(verdict.unsolved.values())


def test_every_exposure_stands_in_the_verdict() -> None:
    verdict = judge(Event(name="push", origin="own"), ("sudo works", "the store is writable"), "auto", lacks="")
    assert verdict.unsolved == {4: "sudo works; the store is writable"}
