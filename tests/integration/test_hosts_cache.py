"""`gha://` in a job, as a newcomer has it: under act, whose cache server is all that two machines share."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from nix_autocache.nix.keys import generate
from tests.conftest import MakeMachine
from tests.harness import graphs, nix, product
from tests.harness.act import Outcome, Workflow, act, git_project
from tests.harness.act import binds as act_binds
from tests.harness.machine import Bind, Machine
from tests.harness.roots import NEW

PROJECT = "/root/project"
ENTRIES = "/root/.cache/actcache"
KEY = generate("cache-1")
TOKEN = "the-token-of-this-job"  # act gives none
BUILD = "name: build\nrun: nix-build --no-out-link /etc/leaves/one.nix"

WITHOUT = f"env -u ACTIONS_CACHE_URL -u ACTIONS_RESULTS_URL {' '.join(product.CLI)}"  # as every `run:` step on GitHub


@pytest.fixture
def entries(tmp_path: Path) -> Path:
    made = tmp_path / "entries"
    made.mkdir()
    return made


def runner(machine: MakeMachine, entries: Path) -> Machine:
    """A machine with the newest Nix, as root, whose act keeps its cache in `entries`."""
    made = machine(NEW, [*product.binds(), *act_binds()[:2], Bind(entries, ENTRIES, writable=True)])
    nix.without_daemon(made)
    made.sh(f"mkdir -p /root/.cache/act; ln -s {product.TOOL_CACHE} /root/.cache/act/tool_cache")
    made.write("/etc/leaves/one.nix", graphs.leaf("one"))
    return made


def run(machine: Machine, *steps: str, key: bool = False, inputs: Mapping[str, str] = {}) -> Outcome:
    """A job with our action, which alone has a token, and these steps after it."""
    given = {**inputs, **({"signing-key": "${{ secrets.KEY }}"} if key else {})}
    listed = "".join(f"\n  {name}: {value}" for name, value in given.items())
    ours = f"uses: nix-autocache/nix-autocache@v1\nenv:\n  ACTIONS_RUNTIME_TOKEN: {TOKEN}"
    ours += f"\nwith:{listed}" if listed else ""
    text = "".join("      - " + step.replace("\n", "\n        ") + "\n" for step in (ours, *steps))
    text = f"on: push\njobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n{text}"
    git_project(machine, PROJECT, {".github/workflows/ci.yml": text})
    secrets = {"KEY": str(KEY)} if key else {}
    done = act(machine, Workflow(PROJECT, env=product.environment(), cache=ENTRIES, secrets=secrets))
    assert done.returncode == 0, done.text
    assert TOKEN not in done.text
    return done


def kept(entries: Path) -> list[Path]:
    """The contents of the entries that act's server has."""
    return [path for path in (entries / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize("key", [True, False], ids=["signed", "without-a-key"])
def test_it_is_tried_before_the_job_begins(machine: MakeMachine, entries: Path, key: bool) -> None:
    """As in the pull request of `init`; what the trial left there is in nobody's way.

    act's server knows when an entry was made to the second only, and so which of two is the newer one.
    """
    done = run(runner(machine, entries), f"run: {nix.NEXT_SECOND}", BUILD, key=key, inputs={"check": "true"})
    for row in ("gha:// answers", "a new path can be written", "Nix takes it, with a signature required"):
        assert f"check: {row}: yes" in done.log, done.log
    assert "\n1 pushed;" in done.log
    again = run(runner(machine, entries), BUILD, key=key)
    assert "building '" not in again.logs["build"], done.log + again.log


def test_what_a_job_built_and_signed_the_next_machine_fetches(machine: MakeMachine, entries: Path) -> None:
    first = run(runner(machine, entries), BUILD, key=True)
    assert "building '" in first.logs["build"]
    assert "\n1 pushed;" in first.log
    second = run(runner(machine, entries), BUILD, key=True)
    assert "building '" not in second.logs["build"]
    assert "copying path '" in second.logs["build"]
    assert "\n0 pushed;" in second.log


def test_without_any_input_a_job_under_act_writes_and_the_report_says_who_else_can(
    machine: MakeMachine, entries: Path
) -> None:
    """It needs no key, is no dry run, and has no client of object stores."""
    made = runner(machine, entries)
    made.sh("rm /root/.cache/act/tool_cache")
    done = run(made, BUILD)
    assert "push to gha:// and read it through our proxy" in done.log
    assert "\n1 pushed;" in done.log
    assert "no, every action of the job, and with `id-token: write` every step, can write GitHub's cache" in done.log
    assert len(kept(entries)) == 1
    packages = made.sh("ls -d /root/.cache/act/tool_cache/nix-autocache/*/*").stdout.split()
    names = {path.rpartition("/")[2] for path in packages}
    assert "nacl" in names
    assert not names & {"obstore", "boto3"}


def test_a_dry_run_reserves_nothing(machine: MakeMachine, entries: Path) -> None:
    done = run(runner(machine, entries), BUILD, inputs={"dry-run": "true"})
    assert "dry run, nothing was written; would be: 1 pushed" in done.log
    assert kept(entries) == []


def test_the_token_is_in_no_environment_and_no_file_that_outlives_the_step(machine: MakeMachine, entries: Path) -> None:
    looks = """name: look
run: |
  token=the-token; token=$token-of-this-job
  echo "processes: $(printf %s "$token" | grep -lasf - /proc/[0-9]*/environ /proc/[0-9]*/cmdline | wc -l)"
  echo "files: $(grep -rls "$token" /run /var /etc /tmp /root/.local /root/.config /root/.cache/nix* "$GITHUB_ENV" \\
    "$GITHUB_STATE" | grep -v /hostexecutor | wc -l)"
  pgrep -fc nix_autocache.uploader"""
    done = run(runner(machine, entries), looks, BUILD)
    said = done.logs["look"].splitlines()
    assert said[:2] == ["processes: 0", "files: 0"], done.text
    assert int(said[2]) >= 2, "uploader and read proxy are alive"
    assert "\n1 pushed;" in done.log


def test_where_no_uploader_lives_the_end_of_the_job_pushes(machine: MakeMachine, entries: Path) -> None:
    """Its step has the variables again. A flush in a step that lacks them leaves the rest to it."""
    end = "run: pkill -KILL -f nix_autocache.uploader.process"
    flush = f"name: flush\nrun: {WITHOUT} flush"
    done = run(runner(machine, entries), end, BUILD, flush)
    assert "gha:// is not the cache of this step" in done.text
    assert "uploading from here" not in done.logs["flush"]
    assert "\n1 pushed;" in done.log
    assert len(kept(entries)) == 1


def test_a_step_without_the_variables_is_told_why_it_cannot_push_there(machine: MakeMachine, entries: Path) -> None:
    built = "$(nix-build --no-out-link /etc/leaves/one.nix)"
    push = f"name: push\nrun: {WITHOUT} push --cache gha:// {built} || echo status $?"
    done = run(runner(machine, entries), push)
    assert "gha:// can be reached by the steps of an action (`uses:`) only" in done.text
    assert "status 2" in done.logs["push"]
