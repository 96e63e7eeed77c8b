"""The pull request for GitHub: its workflows satisfy the linters, and its text says what each file is for."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nix_autocache.onboarding.cache_setup import CacheSetup
from nix_autocache.onboarding.github import workflow_files
from nix_autocache.onboarding.github.workflow_files import WORKFLOW
from nix_autocache.onboarding.repository import Proposal
from tests.harness.repository_files import RepositoryFiles

ROOT = Path(__file__).parents[4]
COMMIT = "2" * 40
BUCKET = "s3://b?region=eu-west-1"
SETUPS = {
    "hosts": CacheSetup(),
    "role": CacheSetup(
        cache=BUCKET, public_keys=("k-1:x",), key_source="aws-ssm:/nix-cache/acme-p", role="arn:aws:iam::1:role/r"
    ),
    "roles": CacheSetup(
        cache=BUCKET,
        public_keys=("k-1:x",),
        key_source="aws-ssm:/nix-cache/acme-p",
        role="arn:aws:iam::1:role/r",
        branches=("main", "release/*", "dev"),
        audience="elsewhere",
    ),
    "keys": CacheSetup(
        cache=BUCKET,
        public_keys=("k-1:x",),
        secrets=("NIX_SIGNING_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        branches=("main", "dev"),
    ),
    "google": CacheSetup(cache="gs://b", public_keys=("k-1:x",), secrets=("GOOGLE_SERVICE_ACCOUNT_KEY",)),
}
EXISTING = """\
name: ci
on: [push]
permissions:
  contents: read
jobs:
  build:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2
        with:
          persist-credentials: false
      - uses: cachix/install-nix-action@c134e4c9e34bac6cab09cf239815f9339aaaf84e # v31
        with:
          extra_nix_config: |
            cores = 2
      - uses: DeterminateSystems/magic-nix-cache-action@565684385bcd71bad329742eefe8d12f2e765b39 # v13
      - run: nix build
"""
REPOSITORIES = {
    "flake": {"flake.nix": "packages = 1; checks = 2;"},
    "plain": {"default.nix": "import <nixpkgs> {}", "shell.nix": "", ".github/workflows/ci.yml": EXISTING},
    "nothing": {"README.md": ""},
}


def proposed(setup: str, repository: str) -> Proposal:
    return workflow_files.proposal(RepositoryFiles(REPOSITORIES[repository]), SETUPS[setup], COMMIT)


@pytest.mark.slow
def test_every_combination_satisfies_actionlint_and_zizmor(tmp_path: Path) -> None:
    """All at once: each linter takes longer to start than to read."""
    paths = []
    for setup, repository in itertools.product(SETUPS, REPOSITORIES):
        for name, text in proposed(setup, repository).files.items():
            path = tmp_path / f"{setup}-{repository}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            paths.append(str(path))
    assert len(paths) == len(SETUPS) * (len(REPOSITORIES) + 1)
    programs = Path(sys.executable).parent
    for command in (["actionlint", "-no-color"], ["zizmor", "--offline", "--quiet", "--no-progress"]):
        done = subprocess.run(
            [programs / command[0], *command[1:], *paths], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_job_has_no_right_that_it_does_not_need() -> None:
    for name in SETUPS:
        workflow = yaml.safe_load(proposed(name, "flake").files[WORKFLOW])
        assert workflow["permissions"] == {"contents": "read"}
        with_role = {"contents": "read", "id-token": "write"} if name.startswith("role") else None
        assert workflow["jobs"]["build"].get("permissions") == with_role


def test_secrets_are_given_to_our_step_alone() -> None:
    steps = yaml.safe_load(proposed("keys", "flake").files[WORKFLOW])["jobs"]["build"]["steps"]
    (ours,) = [step for step in steps if "secrets." in str(step)]
    assert ours["uses"] == f"nix-autocache/nix-autocache@{COMMIT}"
    assert ours["env"].keys() == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_the_hosts_own_cache_needs_no_input_but_the_trial() -> None:
    steps = yaml.safe_load(proposed("hosts", "flake").files[WORKFLOW])["jobs"]["build"]["steps"]
    assert steps[1]["with"].keys() == {"check"}
    assert [step["run"] for step in steps[2:]] == [
        "nix build --print-build-logs --no-link",
        "nix flake check --print-build-logs",
    ]


def test_a_repository_without_nix_gets_a_line_to_fill_in() -> None:
    made = proposed("hosts", "nothing")
    assert "put the command here" in made.files[WORKFLOW]
    assert "put your build into its last line" in made.body


@pytest.mark.parametrize("setup", SETUPS)
def test_the_text_names_files_limitations_and_what_is_replaced(setup: str) -> None:
    body = proposed(setup, "plain").body
    for words in (
        "1. You must know every dependency",
        "4. Whoever can change the pipeline",
        f"`{WORKFLOW}` builds what `default.nix` and `shell.nix` has",
        "`.github/workflows/ci.yml`: `cachix/install-nix-action`",
        "`.github/workflows/ci.yml`: `DeterminateSystems/magic-nix-cache-action`",
        "nixpkgs=channel:",
    ):
        assert words in body
    assert ("harden: true" in body) == (setup != "hosts")
    assert ("start the workflow `nix-cache` by hand on `main`" in body) == setup.startswith("role")


def test_the_pinned_checkout_is_that_of_the_documentation() -> None:
    (checkout,) = [
        line for line in proposed("hosts", "flake").files[WORKFLOW].splitlines() if "actions/checkout" in line
    ]
    assert checkout.strip() in (ROOT / "README.md").read_text()


def test_a_branch_in_any_script_and_with_letters_of_patterns_is_that_branch() -> None:
    """YAML has no pairs of surrogates, and a plus means "once or more" to GitHub."""
    files = workflow_files.proposal(RepositoryFiles({}), CacheSetup(branches=("c++", "wörk-🎉")), COMMIT).files
    found = yaml.safe_load(files[WORKFLOW])
    assert found[True]["push"]["branches"] == [r"c\+\+", "wörk-🎉"]


def test_a_workflow_of_that_name_that_somebody_else_wrote_is_not_overwritten() -> None:
    theirs = "on: push\njobs:\n  a:\n    steps:\n      - uses: cachix/cachix-action@v16\n      - run: make\n"
    second = ".github/workflows/nix-autocache.yml"
    made = workflow_files.proposal(RepositoryFiles({WORKFLOW: theirs}), CacheSetup(), COMMIT)
    assert set(made.files) == {second, WORKFLOW}
    assert "- run: make" in made.files[WORKFLOW], "it has our step, and all else"
    assert f"- `{second}`: put your build into its last line" in made.body
    again = workflow_files.proposal(RepositoryFiles(made.files), CacheSetup(), COMMIT)
    assert again.files == {second: made.files[second]}


def test_one_of_ours_without_its_first_line_is_still_ours() -> None:
    text = workflow_files.proposal(RepositoryFiles({}), CacheSetup(), COMMIT).files[WORKFLOW]
    theirs = text.partition("\n")[2].replace("echo 'put", "nix build # echo 'put")
    made = workflow_files.proposal(RepositoryFiles({WORKFLOW: theirs}), CacheSetup(), COMMIT)
    assert made.files == {WORKFLOW: theirs}
