"""Jobs registered and removed: each keeps its own, and the last one leaves nothing."""

import os
from pathlib import Path

import pytest

from nix_autocache.machine import job_directories, registrations
from nix_autocache.machine.managed_machine import JOB
from nix_autocache.machine.paths import Paths
from nix_autocache.machine.registrations import Registration
from tests.harness.machine_paths import paths_in
from tests.harness.watched import US


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_in(tmp_path)


def add(paths: Paths, name: str, *lines: str) -> None:
    wanted = Registration(job_name=name, owner=US, lines=lines, nix_bin="/bin", queue=True, hook=True)
    registrations.add(paths, wanted, private=False)


def lines_of(paths: Paths) -> list[str]:
    return paths.config.include.read_text().splitlines()


def test_a_registration_travels_as_json() -> None:
    wanted = Registration(
        job_name="a", owner=(1, 2), lines=("x = 1",), nix_bin="/nix/bin", kvm=True, environ={"https_proxy": "p"}
    )
    assert Registration.from_json(wanted.to_json()) == wanted


def test_two_jobs_share_the_hook_and_neither_takes_the_other_s_lines(paths: Paths) -> None:
    add(paths, "one", "extra-substituters = file:///one", "fallback = true")
    add(paths, "two", "extra-substituters = file:///two", "fallback = true")
    assert lines_of(paths).count("fallback = true") == 1
    registrations.remove(paths, "one", daemon=False, everything=False)
    assert "extra-substituters = file:///one" not in lines_of(paths)
    assert "extra-substituters = file:///two" in lines_of(paths)
    assert paths.hook.exists()
    assert job_directories.names(paths) == ["two"]
    registrations.remove(paths, "two", daemon=False, everything=False)
    assert not paths.config.include.exists()
    assert not paths.hook.exists()


def test_what_was_not_pushed_stays_for_another_flush_unless_everything_goes(paths: Paths) -> None:
    name = f"{'0' * 32}-thing.drv"
    add(paths, "one")
    (paths.job("one").queue.new / name).write_text("/nix/store/x\n.\n")
    registrations.remove(paths, "one", daemon=False, everything=False)
    assert list(paths.job("one").queue.names()) == [name]
    assert not paths.config.include.exists()
    registrations.remove(paths, "one", daemon=False, everything=True)
    assert job_directories.names(paths) == []


def test_a_job_s_directories_are_its_own(paths: Paths) -> None:
    before = os.umask(0o077)
    try:
        add(paths, "one")
    finally:
        os.umask(before)
    job = paths.job("one")
    for directory in (job.directory, job.steps, job.queue.new, job.queue.failed, job.roots):
        status = directory.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (*US, 0o755)


MINUTE = 60.0


@pytest.mark.parametrize(
    ("name", "minutes", "is_set_up", "stays"),
    [
        ("killed", 25 * 60, True, False),
        ("long", 23 * 60, True, True),
        ("unfinished", 11, False, False),
        ("begun", 9, False, True),
        (JOB, 25 * 60, True, True),
    ],
)
def test_a_job_that_was_killed_is_dropped_when_another_begins(
    paths: Paths, name: str, minutes: float, is_set_up: bool, stays: bool
) -> None:
    add(paths, name, f"# of {name}")
    job, now = paths.job(name), job_directories.boot_time() + 26 * 60 * MINUTE
    if is_set_up:
        job.setup.touch()
    os.utime(job.directory, (now - minutes * MINUTE,) * 2)
    job_directories.drop_stale(paths, "current", now)
    assert (name in job_directories.names(paths)) is stays
    assert (paths.parts / name).exists() is stays


def test_the_job_that_begins_again_keeps_its_own_directory(paths: Paths) -> None:
    add(paths, "one")
    waiting = paths.job("one").queue.new / f"{'0' * 32}-thing.drv"
    waiting.touch()
    os.utime(paths.job("one").directory, (0, 0))
    add(paths, "one")
    assert waiting.exists()
