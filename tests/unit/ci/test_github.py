"""GitHub's variables and events: inputs, whose code a job runs, and its id token."""

import urllib.parse
from pathlib import Path

import pytest

from nix_autocache.ci.github import GitHub, inputs_of
from nix_autocache.ci.host import Origin
from tests.harness import events


def test_github_writes_inputs_in_upper_case_with_dashes() -> None:
    assert inputs_of({"INPUT_FLUSH-TIMEOUT": "5", "HOME": "/"}) == {"flush-timeout": "5"}


ORIGINS: dict[str, Origin] = {
    "push": "own",
    "tag": "own",
    "schedule": "own",
    "workflow_dispatch": "own",
    "merge_group": "own",
    "release": "own",
    "pull_request-same-repository": "own",
    "pull_request-dependabot": "own",
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


def github(name: str, path: Path | None = None) -> GitHub:
    environ = events.github(name)
    return GitHub({**environ, "GITHUB_EVENT_PATH": str(path)} if path else environ)


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


def test_github_escapes_the_audience() -> None:
    environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://x/t?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "b"}
    identity = GitHub(environ).id_token("https://a/?b&c")
    assert identity is not None
    assert urllib.parse.parse_qs(identity.url.partition("?")[2])["audience"] == ["https://a/?b&c"]
    assert GitHub({}).id_token("a") is None
