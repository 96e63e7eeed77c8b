"""The merge request for GitLab: the pipeline or its part, for what the project has, and what its text says."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import yaml

from nix_autocache.onboarding.cache_setup import CacheSetup
from nix_autocache.onboarding.gitlab import pipeline_files
from nix_autocache.onboarding.gitlab.existing_pipeline import ExistingPipeline
from nix_autocache.onboarding.gitlab.pipeline_files import PART
from nix_autocache.onboarding.repository import Proposal
from nix_autocache.settings import INPUTS
from tests.harness import gitlab
from tests.harness.gitlab_projects import COMMIT
from tests.harness.repository_files import RepositoryFiles

PIPELINE = ".gitlab-ci.yml"
KEYS = CacheSetup(
    cache="s3://bucket?endpoint=minio.example.org",
    secrets=("NIX_SIGNING_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)
ROLE = CacheSetup(
    cache="s3://bucket", role="arn:aws:iam::1:role/x", key_source="aws-ssm:/nix-cache/acme-project", branches=("main",)
)
SETUPS = {"none": CacheSetup(), "keys": KEYS, "role": ROLE}


@dataclass(frozen=True)
class Project(RepositoryFiles):
    server: str = "https://gitlab.com"
    pipeline: str = PIPELINE


def propose(files: Mapping[str, str], setup: CacheSetup = KEYS, server: str = "https://gitlab.com") -> Proposal:
    return pipeline_files.proposal(Project(files, server=server), setup, COMMIT)


@pytest.mark.parametrize("name", SETUPS)
@pytest.mark.parametrize(
    ("files", "commands"),
    [
        ({"flake.nix": "{ outputs = _: { packages = { }; }; }"}, ["nix build --print-build-logs --no-link"]),
        ({"default.nix": "{ }", "shell.nix": ""}, ["nix-build --no-out-link", "nix-shell --run true"]),
        ({}, ["echo 'put the command here that builds with Nix, such as nix-build'"]),
    ],
    ids=["flake", "plain", "nothing"],
)
def test_a_project_without_a_pipeline_gets_one(files: Mapping[str, str], commands: list[str], name: str) -> None:
    made = propose(files, SETUPS[name])
    assert set(made.files) == {PIPELINE}
    whole = yaml.safe_load(made.files[PIPELINE])
    (include,) = whole["include"]
    assert include["component"] == f"$CI_SERVER_FQDN/nix-autocache/nix-autocache/nix-autocache@{COMMIT}"
    assert include["inputs"]["install"].endswith(f".git@{COMMIT}")
    assert whole["nix-cache"]["script"] == commands
    assert whole["nix-cache"]["extends"] == ".nix-autocache"


@pytest.mark.parametrize("name", SETUPS)
def test_the_component_has_the_inputs_that_are_given(name: str) -> None:
    header, _ = yaml.safe_load_all(gitlab.TEMPLATE.read_text(encoding="utf-8"))
    whole = yaml.safe_load(propose({"default.nix": "import <nixpkgs> { }"}, SETUPS[name]).files[PIPELINE])
    given = whole["include"][0]["inputs"]
    assert set(given) <= set(header["spec"]["inputs"])
    assert given["extra-nix-conf"] == "nix-path = nixpkgs=channel:nixos-unstable"
    assert "check" in {row.name for row in INPUTS}, "which the branch's rule sets"
    checked = [rule.get("variables") for rule in whole["nix-cache"].get("rules", [])]
    assert checked == ([] if name == "none" else [{"NIX_AUTOCACHE_CHECK": "true"}, None])


def test_another_server_gets_the_component_from_its_home() -> None:
    made = propose({}, server="https://git.example.org")
    (include,) = yaml.safe_load(made.files[PIPELINE])["include"]
    assert include["remote"] == (
        f"https://gitlab.com/nix-autocache/nix-autocache/-/raw/{COMMIT}/templates/nix-autocache/template.yml"
    )


@pytest.mark.parametrize("name", SETUPS)
def test_the_text_says_the_limitations_and_what_each_file_is_for(name: str) -> None:
    setup = SETUPS[name]
    body = propose({"default.nix": "{ }", PIPELINE: "x: {script: [nix-build]}\n"}, setup).body
    for limitation in ("1. You must know", "2. A failed build", "3. Every pipeline", "4. Whoever can change"):
        assert f"| {limitation}" in body
    assert f"- `{PART}` has a job that builds what `default.nix` has: `nix-build --no-out-link`" in body
    assert f"- `{PIPELINE}` includes `{PART}`; nothing else in it was changed" in body
    assert ("NIX_AUTOCACHE_CHECK" in body) is bool(setup.cache)
    assert ("`NIX_CACHE_ROLE`, which AWS gives to jobs of `main` only" in body) is bool(setup.role)


def test_the_plan_says_who_does_not_get_the_secrets() -> None:
    assert [note.split()[0] for note in propose({}, KEYS).notes] == list(KEYS.secrets)
    assert "only jobs on protected branches and tags get it" in propose({}, KEYS).notes[0]
    assert propose({}, ROLE).notes == ()
    assert propose({}, CacheSetup()).notes == ()


JOB = "build:\n  script:\n    - make\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (JOB, f"include:\n  - local: {PART}\n\n{JOB}"),
        (f"---\n{JOB}", f"---\ninclude:\n  - local: {PART}\n\n{JOB}"),
        (f"# Licence\n\n# of the job\n{JOB}", f"# Licence\n\ninclude:\n  - local: {PART}\n\n# of the job\n{JOB}"),
        (f"include:\n- remote: x # kept\n\n{JOB}", f"include:\n- local: {PART}\n- remote: x # kept\n\n{JOB}"),
        (
            f"{JOB}include: # ours\n    # first\n    - 'a.yml'\n",
            f"{JOB}include: # ours\n    # first\n    - local: {PART}\n    - 'a.yml'\n",
        ),
        (f"{JOB}'include':\n  - a.yml\n", f"{JOB}'include':\n  - local: {PART}\n  - a.yml\n"),
        (f"include: # {PART}\n  - a.yml\n{JOB}", f"include: # {PART}\n  - local: {PART}\n  - a.yml\n{JOB}"),
    ],
)
def test_an_include_is_all_that_is_added(before: str, after: str) -> None:
    made = ExistingPipeline(before).with_include(PART)
    assert made == after
    kept = yaml.safe_load(before)
    assert yaml.safe_load(after) == {**kept, "include": [{"local": PART}, *kept.get("include", [])]}
    assert ExistingPipeline(after).with_include(PART) == after


@pytest.mark.parametrize(
    "before",
    [
        f"include: a.yml\n{JOB}",
        f"include: [a.yml]\n{JOB}",
        f"include:\n  local: a.yml\n{JOB}",
        f"include:\n{JOB}",
        f"include: &list\n  - a.yml\n{JOB}",
        f"spec:\n  inputs: {{}}\n---\n{JOB}",
        f"{JOB}...\n",
        JOB.replace("\n", "\r\n"),
        '{"build": {"script": ["make"]}}\n',
        "- no mapping\n",
        "",
    ],
)
def test_what_is_not_plainly_understood_is_left_to_a_person(before: str) -> None:
    assert ExistingPipeline(before).with_include(PART) is None
    made = propose({PIPELINE: before})
    assert set(made.files) == {PART}
    assert f"put `- local: {PART}` into the list `include` of `{PIPELINE}`" in made.body


@pytest.mark.parametrize(
    ("stages", "stage"),
    [
        ("", "test"),
        ("stages: [lint, test]\n", "test"),
        ("stages:\n  - 'lint' # first\n  - \"build\"\n", "build"),
        ("stages: [\n  check,\n  test]\n", "test"),
        ("stages:\n- check\n- deploy\n", ".pre"),
        ("stages: !reference [x]\n", ".pre"),
    ],
)
def test_the_job_has_a_stage_that_the_pipeline_has(stages: str, stage: str) -> None:
    part = propose({PIPELINE: stages + JOB}).files[PART]
    assert yaml.safe_load(part)["nix-cache"].get("stage", "test") == stage


def test_the_job_does_not_take_the_place_of_one_of_that_name() -> None:
    part = yaml.safe_load(propose({PIPELINE: "nix-cache:\n  script: [make]\n"}).files[PART])
    assert set(part) == {"include", "nix-cache-build"}


def test_a_pipeline_that_chooses_its_events_is_not_run_twice() -> None:
    rules = yaml.safe_load(propose({PIPELINE: f"workflow:\n  rules: []\n{JOB}"}).files[PART])["nix-cache"]["rules"]
    assert rules[-1] == {"when": "on_success"}
    assert [rule["if"] for rule in rules[:-1]] == [
        '$CI_COMMIT_BRANCH == "nix-autocache"',
        '$CI_MERGE_REQUEST_SOURCE_BRANCH_NAME == "nix-autocache"',
    ]


def test_jobs_that_run_nix_are_named_with_what_to_do() -> None:
    text = """\
default:
  before_script: [nix-build]
plain:
  image: nixos/nix
  script: [make]
one: {script: [nix flake check]}
two:
  extends: .base
  script:
    - cachix use acme
    - nix-build | cachix push acme
three:
  before_script: [true]
  script:
    # nix-build
    - nix develop -c make
  cache: {}
"""
    body = propose({PIPELINE: text}).body.partition("### To be done by hand")[2]
    assert "- the job `one` runs Nix: add `extends: .nix-autocache`, and" in body
    assert "- the job `two` runs Nix: add `.nix-autocache` to its `extends`, and" in body
    assert "- the line `cachix use acme` of `two` can then go" in body
    assert "- the job `three` runs Nix and sets `before_script`, `cache` itself" in body
    assert "plain" not in body
    assert "default" not in body


def test_what_people_added_to_our_file_stays_and_the_commit_is_new() -> None:
    first = propose({"default.nix": "{ }"}).files[PIPELINE]
    old = first.replace(COMMIT, "f" * 40).replace("nix-build --no-out-link", "nix-build -A mine") + JOB
    made = propose({PIPELINE: old, "default.nix": "{ }"})
    assert made.files == {PIPELINE: old.replace("f" * 40, COMMIT)}
    part = propose({PIPELINE: JOB}).files[PART] + "more: {script: [x]}\n"
    assert propose({PIPELINE: JOB, PART: part}).files[PART] == part


@pytest.mark.parametrize("name", ["build:linux", "a::b", "'test: unit'", '"x:y"'])
def test_a_job_with_a_colon_in_its_name_is_a_job(name: str) -> None:
    before = f"{name}:\n  rules:\n    - variables: {{A: b}}\n      if: $X\n  script:\n    - nix build\n"
    (job,) = ExistingPipeline(before).nix_jobs()
    assert job.name == name.strip("'\"")
    assert job.sets == (), "a rule has its own variables"
    assert ExistingPipeline(before).with_include(PART) == f"include:\n  - local: {PART}\n\n{before}"


@pytest.mark.parametrize("text", ["\ufeffa:\n  script: x\n", "a:\n  script: caf\udce9\n"])
def test_a_pipeline_that_is_no_plain_utf_8_is_left_to_a_person(text: str) -> None:
    """GitLab gets the text in JSON, which has no other bytes."""
    assert ExistingPipeline(text).with_include(PART) is None


def test_a_file_of_that_name_that_somebody_else_wrote_is_not_overwritten() -> None:
    files = {PIPELINE: "a:\n  script: make\n", PART: "b:\n  script: make\n"}
    made = propose(files)
    assert set(made.files) == {PIPELINE, ".gitlab/nix-autocache.yml"}
    assert "- local: .gitlab/nix-autocache.yml\n" in made.files[PIPELINE]
    assert propose({**files, **made.files}).files == made.files
