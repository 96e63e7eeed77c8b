"""The plan of a set-up: decided from facts and inputs, printed, and made without a change to the machine."""

from pathlib import Path

import pytest

from nix_autocache.ci.detect import detect
from nix_autocache.job.context import Context
from nix_autocache.job.plan import SetupPlan
from nix_autocache.machine import modes
from nix_autocache.machine.modes import Mode
from nix_autocache.machine.observe import Facts
from nix_autocache.nix.keys import generate
from nix_autocache.nix.store import Nix
from nix_autocache.settings import read
from nix_autocache.system.dataclass import replace
from tests.harness.samples import BARE_MACHINE

KEY = str(generate("cache-1"))
BUCKET = {"cache": "s3://bucket?region=eu-west-1", "signing-key": KEY}
RUNNER = BARE_MACHINE  # a hosted runner: sudo, and no Nix
USER = replace(BARE_MACHINE, sudo=False, nix_can_be_made=True)  # an ordinary user who owns /nix
SCANNING = replace(BARE_MACHINE, sudo=False, nix=Path("/usr/bin"), daemon="answers")
PUSH = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "RUNNER_ENVIRONMENT": "github-hosted"}
FORK = {**PUSH, "GITHUB_EVENT_NAME": "pull_request_target"}


def plan(
    facts: Facts, inputs: dict[str, str], environ: dict[str, str] = PUSH, home: Path = Path("/nonexistent")
) -> SetupPlan:
    given = {"HOME": str(home), **environ}
    context = Context(read(inputs, {}, {}), detect(given), given)
    return SetupPlan.make(context, facts, modes.decide(facts, context.settings.mode))


def test_a_plan_changes_nothing(tmp_path: Path) -> None:
    """Not even the embedded cache's key is made, which a plan names."""
    made = plan(USER, {}, {}, tmp_path)
    assert made.destination.embedded
    assert made.destination.key_source.file == tmp_path / ".local/share/nix-autocache/signing-key"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("facts", "harden", "lock_down", "separate_user"),
    [
        (RUNNER, "true", True, True),
        (RUNNER, "false", False, False),
        (replace(RUNNER, root=True, sudo=False), "true", False, False),  # root stays root
        (USER, "true", False, False),  # without sudo there is nothing to take away
    ],
    ids=["sudo", "not asked for", "root", "no sudo"],
)
def test_root_is_taken_from_who_has_it_by_sudo_only(
    facts: Facts, harden: str, *, lock_down: bool, separate_user: bool
) -> None:
    made = plan(facts, {**BUCKET, "harden": harden})
    assert (made.lock_down, made.separate_user) == (lock_down, separate_user)


def test_a_cache_that_only_this_user_can_write_has_no_separate_uploader(tmp_path: Path) -> None:
    made = plan(RUNNER, {"cache": f"file://{tmp_path}", "signing-key": KEY, "harden": "true"})
    assert (made.lock_down, made.separate_user) == (True, False)


def test_a_job_of_a_fork_reads_and_pushes_nothing() -> None:
    made = plan(RUNNER, BUCKET, FORK)
    assert not made.verdict.push
    assert made.read_proxy
    assert any("push nothing" in line for line in made.lines())


@pytest.mark.parametrize("cache", ["s3://bucket", "https://cache.example.org", "gs://bucket"])
def test_nix_reads_every_cache_that_is_far_away_through_our_proxy(cache: str) -> None:
    assert plan(RUNNER, {"cache": cache}).read_proxy
    assert plan(RUNNER, {"cache": cache, "dry-run": "true"}).read_proxy


@pytest.mark.parametrize("cache", ["file:///srv/cache", "ssh-ng://builder"])
def test_nix_reads_by_itself_what_is_near_or_not_made_of_objects(cache: str) -> None:
    made = plan(RUNNER, {"cache": cache, "signing-key": KEY})
    assert not made.read_proxy
    assert not made.reads_itself or not made.destination.wants_read_proxy


def test_nix_reads_by_itself_where_it_would_ask_a_proxy_for_us() -> None:
    proxied = plan(RUNNER, BUCKET, {**PUSH, "http_proxy": "http://proxy:3128"})
    assert not proxied.read_proxy
    assert "no_proxy" in proxied.reads_itself
    assert plan(RUNNER, BUCKET, {**PUSH, "http_proxy": "http://proxy:3128", "no_proxy": "127.0.0.1"}).read_proxy


def test_the_cache_of_a_project_is_not_read_where_the_proxy_cannot_be(tmp_path: Path) -> None:
    """Nobody else could sign it, and what has no signature is no use to Nix."""
    gitlab = {"CI_JOB_ID": "1", "CI_PIPELINE_SOURCE": "push", "CI_PROJECT_DIR": str(tmp_path)}
    assert plan(RUNNER, {}, gitlab).read_proxy
    proxied = plan(RUNNER, {}, {**gitlab, "http_proxy": "http://proxy:3128"})
    assert not proxied.read_proxy
    assert any("and do not read it" in line for line in proxied.lines())
    assert proxied.destination.without_read_proxy == "Nix does not read the cache"
    assert list(tmp_path.iterdir()) == []


def test_nix_reads_by_itself_where_the_daemon_takes_no_substituters_from_us() -> None:
    assert not plan(SCANNING, BUCKET).read_proxy


@pytest.mark.parametrize(
    ("text", "itself"),
    [
        ("machine cache.example.org login me password secret\n", True),
        ("default login me password secret\n", True),
        ("machine other.example.org login me password secret\n", False),
        ("what is this", True),
    ],
)
def test_nix_reads_by_itself_where_it_has_a_login_for_the_server(tmp_path: Path, text: str, *, itself: bool) -> None:
    file = tmp_path / "netrc"
    file.write_text(text)
    inputs = {"cache": "https://cache.example.org/x", "extra-nix-conf": f"netrc-file = {file}"}
    made = plan(RUNNER, inputs)
    assert made.read_proxy is not itself
    assert "secret" not in made.reads_itself
    assert plan(RUNNER, {**inputs, "cache": "s3://bucket"}).read_proxy


def test_where_no_hook_can_be_set_the_store_is_scanned() -> None:
    made = plan(SCANNING, BUCKET)
    state = made.begin(Nix(Path("/usr/bin")), None)
    assert (state.chosen, state.scan, state.push) == (Mode.EXISTING_SCAN, True, True)
    assert any("scan the store" in line for line in made.lines())


def test_the_state_begins_as_planned_and_names_no_password() -> None:
    made = plan(RUNNER, {"cache": "https://me:s3cret@cache.example.org", "signing-key": KEY, "dry-run": "true"})
    state = made.begin(Nix(Path("/usr/bin")), None)
    assert (state.push, state.dry_run, state.scan) == (True, True, False)
    assert "s3cret" not in state.cache
    assert "s3cret" not in "\n".join(made.lines())
    assert any("dry run" in line for line in made.lines())


def test_the_lines_say_where_nix_comes_from() -> None:
    assert any("install Nix" in line and "for all users" in line for line in plan(RUNNER, BUCKET).lines())
    assert any("install Nix" in line and "for this user" in line for line in plan(USER, BUCKET).lines())
    ours = replace(USER, nix=Path("/nix/bin"), ours="single-user")
    assert any("the Nix of an earlier set-up" in line for line in plan(ours, BUCKET).lines())
    assert any("use the Nix in /usr/bin" in line for line in plan(SCANNING, BUCKET).lines())
