"""The action under act, used as a user's workflow uses it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeMachine
from tests.harness import binary_cache, graphs, nix, product
from tests.harness.act import Outcome, Workflow, act, git_project
from tests.harness.act import binds as act_binds
from tests.harness.job import Job
from tests.harness.machine import Machine
from tests.harness.roots import NEW
from tests.harness.waiting import wait_for

PROJECT = "/root/project"
ACTION = "uses: nix-autocache/nix-autocache@v1"
FORK = {
    "pull_request": {
        "number": 7,
        "head": {"repo": {"full_name": "mallory/project", "fork": True}, "ref": "main", "sha": "0" * 40},
        "base": {"repo": {"full_name": "acme/project", "fork": False}, "ref": "main", "sha": "0" * 40},
    },
    "repository": {"full_name": "acme/project"},
}
KEY_INPUT = "signing-key: ${{ secrets.KEY }}"


def workflow(*steps: str, event: str = "push") -> str:
    """A workflow of one job; a step is a line or several, of which the first begins the list item. Like many, it gives
    its scripts a variable that looks like an input of an action."""
    listed = "".join("      - " + step.replace("\n", "\n        ") + "\n" for step in steps)
    env = "env:\n  INPUT_ENVIRONMENT: production\n"
    return f"on: {event}\n{env}jobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n{listed}"


@pytest.fixture
def runner(machine: MakeMachine, tmp_path: Path) -> Machine:
    """A machine with the newest Nix, as root, with packages in act's tool cache and the embedded cache kept."""
    made = machine(NEW, [*product.binds(tmp_path), *act_binds()[:2]])
    nix.without_daemon(made)
    made.sh(f"mkdir -p /root/.cache/act; ln -s {product.TOOL_CACHE} /root/.cache/act/tool_cache")
    for name in ("one", "two", "late"):
        made.write(f"/etc/leaves/{name}.nix", graphs.leaf(name))
    made.write("/etc/leaves/many.nix", graphs.independent(30))
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def run(machine: Machine, text: str, **options: object) -> Outcome:
    git_project(machine, PROJECT, {".github/workflows/ci.yml": text})
    cancel_at = options.pop("cancel_at", None)
    return act(machine, Workflow(PROJECT, env=product.environment(), **options), cancel_at=cancel_at)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def nothing_of_ours_is_left(runner: Machine) -> Iterator[None]:
    yield
    wait_for(lambda: not any("nix_autocache" in " ".join(each.argv) for each in runner.processes()), "their end")
    assert not runner.exists("/etc/nix/nix-autocache.conf")


def test_a_job_pushes_what_it_builds_and_reports_it(runner: Machine, cache: Path) -> None:
    done = run(
        runner,
        workflow(
            f"id: cache\n{ACTION}",
            "run: nix-build --no-out-link /etc/leaves/one.nix",
            "env:\n  OUTPUTS: ${{ toJSON(steps.cache.outputs) }}\nrun: echo $OUTPUTS",
        ),
    )
    assert done.returncode == 0, done.text
    assert set(binary_cache.narinfos(cache)) == {"one"}
    assert '"limitations-solved": "1,2,3"' in done.log
    assert '"push": "true"' in done.log
    assert "1 pushed" in done.log


def test_used_twice_in_one_job(runner: Machine, cache: Path) -> None:
    done = run(
        runner,
        workflow(
            ACTION,
            "run: nix-build --no-out-link /etc/leaves/one.nix",
            ACTION,
            "run: nix-build --no-out-link /etc/leaves/two.nix",
        ),
    )
    assert done.returncode == 0, done.text
    assert set(binary_cache.narinfos(cache)) == {"one", "two"}
    assert [step.result for step in done.steps if step.stage == "Post"] == ["success"] * 2


def test_a_failing_step_does_not_keep_the_post_step_from_flushing(runner: Machine, cache: Path) -> None:
    done = run(runner, workflow(ACTION, "run: nix-build --no-out-link /etc/leaves/one.nix; exit 1"))
    assert done.returncode == 1
    assert set(binary_cache.narinfos(cache)) == {"one"}


def test_a_cancelled_job_flushes(runner: Machine, cache: Path) -> None:
    done = run(
        runner,
        workflow(ACTION, "run: nix-build --no-out-link /etc/leaves/many.nix; echo cancel me; sleep 60"),
        cancel_at="cancel me",
    )
    assert done.returncode == 1
    assert len(binary_cache.narinfos(cache)) == 30


def test_a_fork_gets_pull_only_one_notice_and_no_failure(runner: Machine, cache: Path) -> None:
    done = run(
        runner,
        workflow(
            f"{ACTION}\nwith:\n  {KEY_INPUT}\n  cache: file:///root/cache",
            "run: nix-build --no-out-link /etc/leaves/one.nix",
            event="pull_request",
        ),
        event="pull_request",
        payload=FORK,
    )
    assert done.returncode == 0, done.text
    assert done.text.count("::notice") == 1, done.text
    assert "::warning" not in done.text
    assert not cache.exists()
    assert not runner.sh("ls /root/cache/*.narinfo || true").stdout


def test_a_forks_code_with_the_key_in_reach_gets_pull_only(runner: Machine) -> None:
    """As pull_request_target hands secrets to a fork's code: the key is not even read."""
    done = run(
        runner,
        workflow(
            f"{ACTION}\nwith:\n  {KEY_INPUT}\n  cache: file:///root/cache",
            "run: nix-build --no-out-link /etc/leaves/one.nix",
            event="pull_request_target",
        ),
        event="pull_request_target",
        payload=FORK,
        secrets={"KEY": "this is no key and would be refused if it was read"},
    )
    assert done.returncode == 0, done.text
    assert "is not trusted" in done.text
    assert not runner.sh("ls /root/cache/*.narinfo || true").stdout


def test_the_key_never_shows_in_the_log(runner: Machine) -> None:
    key = Job(runner).keygen()
    done = run(
        runner,
        workflow(
            f"{ACTION}\nwith:\n  {KEY_INPUT}\n  cache: file:///root/cache",
            "run: nix-build --no-out-link /etc/leaves/one.nix; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'",
        ),
        secrets={"KEY": key},
    )
    assert done.returncode == 0, done.text
    assert key.partition(":")[2] not in done.text
    assert runner.exists("/root/cache/nix-cache-info")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("cache: bucket", "is not a store URL"),
        ("cache: s3://", "names no host or bucket"),
        ("signing-key: c2VjcmV0\n  cache: file:///root/cache", "the key has no name"),
        ("push: maybe", "'maybe' is not one of auto, always, never"),
        ("flush-timeout: soon", "not a whole number"),
        ("harden: maybe", "is neither true nor false"),
    ],
)
def test_a_wrong_input_is_one_clear_line(runner: Machine, given: str, complaint: str) -> None:
    done = run(runner, workflow(f"{ACTION}\nwith:\n  {given}"))
    assert done.returncode == 1
    assert complaint in done.text
    assert "Traceback" not in done.text


def test_a_mistyped_input_is_a_warning_that_says_which_was_meant(runner: Machine) -> None:
    """The host does not tell an input from a variable `INPUT_…` of the workflow's own, so it cannot be an error."""
    done = run(runner, workflow(f"{ACTION}\nwith:\n  cahce: file:///x"))
    assert done.returncode == 0, done.text
    assert any("::warning" in line and "did you mean cache" in line for line in done.text.splitlines()), done.text
