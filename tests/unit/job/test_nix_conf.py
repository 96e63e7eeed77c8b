"""The lines of nix.conf that a job needs: what is ours, what is the user's, and which of them counts."""

from pathlib import Path

import pytest

from nix_autocache.ci.detect import detect
from nix_autocache.job import nix_conf
from nix_autocache.job.context import Context
from nix_autocache.job.plan import SetupPlan
from nix_autocache.job.state import JobState
from nix_autocache.machine import modes
from nix_autocache.machine.modes import Mode
from nix_autocache.nix.keys import generate
from nix_autocache.nix.store import Nix
from nix_autocache.settings import read
from nix_autocache.system.dataclass import replace
from nix_autocache.trust.policy import Verdict
from nix_autocache.uploader.read_proxy.address import Address
from tests.harness.samples import BARE_MACHINE

KEY = generate("cache-1")
PUSHES = Verdict(push=True, reason="own", unsolved={})


def context(**inputs: str) -> Context:
    environ = {"HOME": "/nonexistent", "USER": "nobody-here"}
    given = {name.replace("_", "-"): text for name, text in inputs.items()}
    return Context(
        read({"cache": "s3://bucket", "public-keys": str(KEY.public), **given}, {}, {}), detect(environ), environ
    )


def state(mode: Mode = Mode.EXISTING_SINGLE_USER, port: int = 0) -> JobState:
    return JobState.begin(
        mode, Nix(Path("/usr/bin")), "s3://bucket", PUSHES, reader=Address(port, "abc") if port else None
    )


def lines(job: Context, of: JobState) -> list[str]:
    return nix_conf.lines(job, of, BARE_MACHINE, nix_conf.cache_lines(of, job.destination()))


def test_nix_reads_the_cache_or_the_proxy_in_its_place() -> None:
    trusted = f"extra-trusted-public-keys = {KEY.public}"
    direct = nix_conf.cache_lines(state(), context().destination())
    assert direct == ["extra-substituters = s3://bucket", trusted]
    proxy, keys = nix_conf.cache_lines(state(port=4321), context().destination())
    assert proxy.startswith("extra-substituters = http://127.0.0.1:4321/abc")
    assert keys == trusted


def test_a_job_keeps_the_period_of_its_throwaway_cache_to_its_end() -> None:
    job = context(cache="s3://bucket/{week}")
    last_second = replace(job, now=1_795_391_999.9)  # Sunday, 2026-11-22
    plan = SetupPlan.make(last_second, BARE_MACHINE, modes.decide(BARE_MACHINE, "auto"))
    begun = plan.begin(Nix(Path("/usr/bin")), None)
    assert begun.cache == "s3://bucket/2026-W47"
    assert job.at(begun.period + 1).destination().url.path == "/2026-W48"
    assert str(job.at(begun.period).destination().url) == begun.cache


def test_without_the_proxy_nix_reads_both_periods_and_a_warning_says_what_is_lost() -> None:
    destination = replace(context(cache="s3://bucket/{week}"), now=1_795_392_000.0).destination()
    direct = nix_conf.cache_lines(state(), destination)[:-1]
    assert direct == ["extra-substituters = s3://bucket/2026-W48", "extra-substituters = s3://bucket/2026-W47"]
    assert "s3://bucket/2026-W47 is not carried over" in destination.without_read_proxy
    (proxy,) = nix_conf.cache_lines(state(port=4321), destination)[:-1]
    assert "127.0.0.1" in proxy


def test_a_dry_run_that_cannot_reach_the_cache_does_not_make_nix_wait_for_it() -> None:
    for mine in (state(), state(port=4321)):
        assert nix_conf.cache_lines(replace(mine, unread=True), context().destination())[:-1] == []


def on_gitlab(**inputs: str) -> Context:
    environ = {
        "CI_JOB_ID": "1",
        "CI_PIPELINE_SOURCE": "push",
        "CI_PROJECT_DIR": "/builds/project",
        "HOME": "/nonexistent",
    }
    given = {name.replace("_", "-"): text for name, text in inputs.items()}
    return Context(read(given, {}, {}), detect(environ), environ)


def test_a_cache_without_signatures_is_read_through_the_proxy_or_not_at_all() -> None:
    """Its key is trusted beside those that the user gives."""
    destination = on_gitlab(public_keys=str(KEY.public)).destination().with_job_key()
    assert destination.job_key
    keys = f"extra-trusted-public-keys = {KEY.public} {destination.job_key.public}"
    assert nix_conf.cache_lines(state(port=4321), destination) == [
        "extra-substituters = http://127.0.0.1:4321/abc",
        keys,
    ]
    assert nix_conf.cache_lines(state(), destination) == [keys]
    assert str(destination.job_key) not in repr(destination)


def test_with_a_key_of_its_own_nix_reads_the_directories_by_itself() -> None:
    destination = on_gitlab(signing_key=str(KEY)).destination().with_job_key()
    assert destination.job_key is None
    directories = [
        f"extra-substituters = file:///builds/project/.nix-autocache/{name}"
        for name in ("protected-true", "unprotected")
    ]
    assert nix_conf.cache_lines(state(), destination)[:2] == directories


def test_many_connections_go_to_the_proxy_and_the_user_has_the_last_word() -> None:
    job = context(extra_nix_conf="http-connections = 7")
    found = lines(job, state(port=4321))
    assert found.index("http-connections = 128") < found.index("http-connections = 7")
    assert "http-connections = 128" not in lines(job, state())


def test_a_cache_that_fails_fails_no_build_unless_the_user_wants_that() -> None:
    found = lines(context(extra_nix_conf="fallback = false"), state())
    assert found.index("fallback = true") < found.index("fallback = false")


@pytest.mark.parametrize(
    ("settings", "lost"),
    [
        ({}, []),  # Nix did not answer, which proves nothing
        ({"substituters": "https://cache.nixos.org"}, ["extra-substituters = s3://bucket"]),
        ({"substituters": "https://cache.nixos.org s3://bucket"}, []),
    ],
    ids=["no answer", "lost", "heeded"],
)
def test_what_nix_does_not_heed_is_found(settings: dict[str, str], lost: list[str]) -> None:
    assert nix_conf.lacking(["extra-substituters = s3://bucket"], settings) == lost


def test_a_hook_is_lost_if_another_is_in_effect() -> None:
    ours = "post-build-hook = /var/lib/nix-autocache/hook"
    assert nix_conf.lacking([ours], {"post-build-hook": "/else"}) == [ours]
    assert nix_conf.lacking([ours], {"post-build-hook": "/var/lib/nix-autocache/hook"}) == []
