"""Which paths a job uses, and where a user's own are."""

import os
from pathlib import Path

import pytest

from nix_autocache.machine import paths, user_directories

HOME = {"HOME": "/home/someone", "USER": "someone"}


@pytest.mark.parametrize(
    ("environ", "state", "data"),
    [
        ({}, "/home/someone/.local/state/nix-autocache", "/home/someone/.local/share/nix-autocache"),
        ({"XDG_STATE_HOME": "/s", "XDG_DATA_HOME": "/d"}, "/s/nix-autocache", "/d/nix-autocache"),
        (
            {"XDG_STATE_HOME": "relative", "XDG_DATA_HOME": ""},
            "/home/someone/.local/state/nix-autocache",
            "/home/someone/.local/share/nix-autocache",
        ),
    ],
)
def test_a_user_s_state_is_in_the_xdg_base_directories(environ: dict[str, str], state: str, data: str) -> None:
    assert paths.users(HOME | environ).state == Path(state)
    assert paths.data(HOME | environ) == Path(data)


def test_the_user_s_file_that_nix_reads_last_and_can_be_changed_gets_our_lines(tmp_path: Path) -> None:
    in_store, own = tmp_path / "store.conf", tmp_path / "own.conf"
    in_store.symlink_to("/nix/store/x/nix.conf")
    own.touch()
    environ = {**HOME, "NIX_USER_CONF_FILES": f"relative:{in_store}:{own}"}
    assert user_directories.nix_conf(environ) == own
    found = paths.users({**environ, "XDG_STATE_HOME": str(tmp_path)})
    assert found.conf_file == own
    assert found.config.include == tmp_path / "nix-autocache/nix-autocache.conf"


def test_without_a_named_file_it_is_that_of_the_home_that_nix_takes(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert user_directories.nix_conf(environ) == tmp_path / ".config/nix/nix.conf"
    assert user_directories.nix_conf({**environ, "XDG_CONFIG_HOME": "/c"}) == Path("/c/nix/nix.conf")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_a_home_that_belongs_to_another_user_is_not_the_one_that_nix_takes(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    assert tmp_path not in user_directories.nix_conf({"HOME": str(tmp_path)}).parents


def test_two_users_jobs_have_two_names() -> None:
    expected = "job" if os.geteuid() == 0 else f"job-{os.geteuid()}"
    assert paths.job_name("job") == expected


def test_only_the_queue_and_the_roots_of_a_job_belong_to_its_uploader(tmp_path: Path) -> None:
    job = paths.Paths(state=tmp_path, nix_conf=tmp_path, roots=Path("/roots")).job("name")
    assert job.queue.directory == tmp_path / "jobs/name/queue"
    assert job.roots == Path("/roots/name")
    assert {job.setup.parent, job.store_before.parent} == {job.steps}
