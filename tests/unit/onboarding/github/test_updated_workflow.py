"""`init` once more: our step is as it should be, and what people have added to the workflow stays."""

import pytest
import yaml

from nix_autocache.onboarding.cache_setup import CacheSetup
from nix_autocache.onboarding.github import workflow_files
from nix_autocache.onboarding.github.workflow_files import WORKFLOW
from tests.harness.repository_files import RepositoryFiles

FIRST, SECOND = "1" * 40, "2" * 40
KEYS = CacheSetup(cache="s3://b", public_keys=("k-1:x",), secrets=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
ROLE = CacheSetup(cache="s3://b", key_source="aws-ssm:/nix-cache/acme-p", role="arn:aws:iam::1:role/r")
FILES = {"default.nix": "import <nixpkgs> {}"}


def written(setup: CacheSetup, commit: str, before: str = "") -> str:
    files = {**FILES, WORKFLOW: before} if before else FILES
    return workflow_files.proposal(RepositoryFiles(files), setup, commit).files[WORKFLOW]


@pytest.mark.parametrize("setup", [CacheSetup(), KEYS, ROLE], ids=["hosts", "keys", "role"])
def test_nothing_to_update_changes_nothing(setup: CacheSetup) -> None:
    text = written(setup, FIRST)
    again = written(setup, FIRST, text)
    assert yaml.safe_load(again) == yaml.safe_load(text)
    assert written(setup, FIRST, again) == again


def test_what_people_added_stays() -> None:
    text = written(CacheSetup(), FIRST)
    for before, after in {
        "runs-on: ubuntu-24.04": "runs-on: [self-hosted, arm]",
        "  pull_request:\n": "",
        "          extra-nix-conf": "          harden: true # ours\n          extra-nix-conf",
        "nix-build --no-out-link": "nix-build -A everything",
    }.items():
        assert before in text
        text = text.replace(before, after)
    text += "        env:\n          NIX_SHOW_STATS: 1\n"
    again = written(KEYS, SECOND, text)
    job = yaml.safe_load(again)["jobs"]["build"]
    assert job["runs-on"] == ["self-hosted", "arm"]
    assert "pull_request:" not in again
    assert "harden: true # ours" in again
    ours = job["steps"][1]
    assert ours["uses"].endswith(SECOND)
    assert ours["with"]["cache"] == "${{ vars.NIX_CACHE }}"
    assert ours["with"]["extra-nix-conf"] == "nix-path = nixpkgs=channel:nixos-unstable\n"
    assert ours["env"].keys() == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert job["steps"][2:] == [{"run": "nix-build -A everything", "env": {"NIX_SHOW_STATS": 1}}]


def test_from_keys_to_a_role_and_back() -> None:
    text = written(KEYS, FIRST).replace("        env:\n", "        env:\n          OWN: 1\n")
    with_role = yaml.safe_load(written(ROLE, FIRST, text))
    step = with_role["jobs"]["build"]["steps"][1]
    assert step["env"] == {"OWN": 1}
    assert step["with"]["aws-role"]
    assert with_role["permissions"] == {"contents": "read", "id-token": "write"}
    back = yaml.safe_load(written(KEYS, FIRST, written(ROLE, FIRST, text)))["jobs"]["build"]["steps"][1]
    assert not back["with"].keys() & {"aws-role", "push"}


@pytest.mark.parametrize("change", ["with: {check: 'true'}", "name: nothing of ours"])
def test_what_cannot_be_edited_is_written_anew(change: str) -> None:
    before = written(CacheSetup(), FIRST)
    start, end = before.index("      - uses: nix-autocache"), before.index("      - run:")
    step = f"      - {change}\n" + ("        uses: nix-autocache/nix-autocache@v1\n" if "with" in change else "")
    assert written(CacheSetup(), SECOND, before[:start] + step + before[end:]) == written(CacheSetup(), SECOND)


def test_comments_and_line_ends_of_windows_stay() -> None:
    text = written(CacheSetup(), FIRST).replace(
        "          extra-nix-conf",
        "          # why:\n          # it is slow\n          harden: true\n          extra-nix-conf",
    )
    assert "# it is slow" in text
    again = written(ROLE, SECOND, text.replace("\n", "\r\n"))
    assert again.count("\r\n") == again.count("\n")
    assert "# why:\r\n          # it is slow\r\n          harden: true\r\n" in again
    assert written(ROLE, SECOND, again) == again
