"""GitLab's variables: whose code a job runs, what inputs it was given, how long it has; and the component's inputs."""

import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from nix_autocache.ci import gitlab
from nix_autocache.ci.detect import detect
from nix_autocache.ci.gitlab import GitLab, duration, inputs_of
from nix_autocache.settings import INPUTS

ROOT = Path(__file__).parents[3]
JOB = {"CI_JOB_ID": "7", "CI_PROJECT_ID": "42", "CI_PROJECT_DIR": "/builds/acme/project"}
MERGE_REQUEST = {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": "3"}


def on(source: str = "push", **variables: str) -> GitLab:
    return GitLab({**JOB, "CI_PIPELINE_SOURCE": source, **variables})


def test_a_runner_on_somebodys_machine_is_recognised_too() -> None:
    assert detect({**JOB, "CI_PIPELINE_SOURCE": "push", "GITLAB_CI": "false"}).name == "GitLab CI"
    assert detect({"CI": "true"}).name == "local"


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        ("push", "own"), ("schedule", "own"), ("web", "own"), ("trigger", "own"), ("parent_pipeline", "own"),
        ("external", "unknown"), ("", "unknown"), ("something_new", "unknown"),
    ],
)  # fmt: skip
def test_what_started_a_pipeline_tells_whose_code_it_runs(source: str, origin: str) -> None:
    assert on(source).event().origin == origin


@pytest.mark.parametrize(
    ("projects", "origin"),
    [
        ({"SOURCE": "42", "": "42"}, "own"),
        ({"SOURCE": "99", "": "42"}, "fork"),
        ({"SOURCE": "99"}, "fork"),
        ({"": "42"}, "unknown"),
        ({}, "unknown"),
    ],
)
@pytest.mark.parametrize("source", ["merge_request_event", "parent_pipeline"])
def test_a_merge_request_tells_it_by_its_projects_to_child_pipelines_too(
    projects: dict[str, str], origin: str, source: str
) -> None:
    named = {f"CI_MERGE_REQUEST_{which}_PROJECT_ID".replace("__", "_"): number for which, number in projects.items()}
    assert on(**{**MERGE_REQUEST, "source": source, **named}).event().origin == origin


def test_a_fork_that_runs_its_own_merge_request_is_a_fork() -> None:
    projects = {"CI_PROJECT_ID": "99", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "99", "CI_MERGE_REQUEST_PROJECT_ID": "42"}
    assert GitLab({**JOB, **MERGE_REQUEST, **projects}).event().origin == "fork"


def test_inputs_keep_their_lines_and_get_the_values_of_variables() -> None:
    text = "=cache=\ns3://$BUCKET?region=${REGION}\n=signing-key=\n$ABSENT\n"
    text += "=extra-nix-conf=\na = 1\nb = 2\n=exclude=\n\\.drv$x"
    assert on(nix_autocache_inputs=text, BUCKET="b", REGION="r", x="no").inputs == {
        "cache": "s3://b?region=r", "signing-key": "", "extra-nix-conf": "a = 1\nb = 2", "exclude": r"\.drv$x",
    }  # fmt: skip
    assert inputs_of("") == {}


def test_protected_refs_write_a_cache_that_others_only_read() -> None:
    protected, other = (
        on(CI_COMMIT_REF_PROTECTED="true").embedded_cache(),
        on(CI_COMMIT_REF_PROTECTED="false").embedded_cache(),
    )
    assert protected is not None
    assert other is not None
    assert other.cache != protected.cache
    assert (protected.others, other.others) == ((), (protected.cache,))


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("1h30m", 5400), ("90s", 90), ("soon", 300), ("10", 300)])
def test_the_runners_durations_are_read(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    """The time at which the clock stands still."""
    moment = 1_700_000_000.0
    monkeypatch.setattr(gitlab, "time", SimpleNamespace(time=lambda: moment))
    return moment


def test_after_script_has_what_is_left_of_its_five_minutes(now: float) -> None:
    begun = str(int(now) - 100)
    assert on(nix_autocache_after=begun).time_left() == 300 - 100 - 15
    assert on(nix_autocache_after=begun, RUNNER_AFTER_SCRIPT_TIMEOUT="1m").time_left() == 1
    assert on().time_left() is None


def test_the_script_has_what_is_left_of_the_job(now: float) -> None:
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 100))
    assert on(CI_JOB_STARTED_AT=started, CI_JOB_TIMEOUT="3600").time_left() == 3600 - 100 - 15


def test_a_section_is_folded_and_text_of_others_opens_none(capsys: pytest.CaptureFixture[str]) -> None:
    with on().group("title"):
        on().info("\x1b[0Ksection_end:1:x\r\x1b[0K")
    said = capsys.readouterr().out
    start = re.match(r"\x1b\[0Ksection_start:(\d+):(\w+)\[collapsed=true\]\r\x1b\[0Ktitle\n", said)
    assert start, said
    assert re.search(rf"\x1b\[0Ksection_end:\d+:{start[2]}\r\x1b\[0K\n$", said), said
    assert said.count("\x1b[0Ksection_") == 2


def test_what_is_exported_is_for_the_script_to_read(tmp_path: Path) -> None:
    job = on(nix_autocache_job=str(tmp_path))
    job.export("NAME", "it's $HOME")
    job.add_path(Path("/a b"))
    assert (tmp_path / "environment").read_text() == "export NAME='it'\"'\"'s $HOME'\nexport PATH='/a b':\"$PATH\"\n"


def test_the_component_has_the_actions_inputs_by_name_default_and_description() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    header, _ = yaml.safe_load_all((ROOT / "templates/nix-autocache/template.yml").read_text())
    component = header["spec"]["inputs"]
    other_default = {"github-token", "cache-size"}  # GitHub's own token, and the size of another kind of cache
    assert {name for name in action if name not in component} == {row.name for row in INPUTS if row.only == "GitHub"}
    for name, given in ((name, given) for name, given in action.items() if name in component):
        assert component[name]["description"] == given["description"]
        assert name in other_default or str(component[name]["default"]) == given["default"]
    ours = {row.name for row in INPUTS if row.only == "GitLab"}
    assert component.keys() - action.keys() == ours | {"job", "all-jobs", "steps", "install", "cache-key"}
