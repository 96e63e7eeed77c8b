"""The lock of our state: one at a time, also when the directory goes away meanwhile."""

import threading
from pathlib import Path

import pytest

from nix_autocache.errors import RunnerError
from nix_autocache.machine import journal
from nix_autocache.machine.paths import Paths
from nix_autocache.machine.state_directory import MadeDirectories, locked
from nix_autocache.machine.undo import KINDS
from nix_autocache.system.trees import remove_tree
from tests.harness.machine_paths import paths_in
from tests.harness.waiting import wait_for


def waiting(paths: Paths) -> bool:
    """Whether somebody waits for the lock, as the kernel lists it."""
    inode = (paths.state / "lock").stat().st_ino
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f":{inode} " in line for line in lines)


def test_the_directories_that_were_missing_are_recorded_the_deepest_first(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    paths = paths_in(tmp_path)
    for _ in range(2):
        with locked(paths):
            pass
    (made,) = journal.read(paths, KINDS)
    assert isinstance(made, MadeDirectories)
    assert [Path(each).relative_to(tmp_path).as_posix() for each in made.around] == ["etc/nix", "var/lib", "var"]


def test_who_waits_for_a_state_that_undo_removes_gets_a_new_one(tmp_path: Path) -> None:
    paths, entered = paths_in(tmp_path), threading.Event()

    def other() -> None:
        with locked(paths):
            assert paths.journal.exists()
            entered.set()

    with locked(paths):
        thread = threading.Thread(target=other)
        thread.start()
        wait_for(lambda: waiting(paths), "the other one")
        assert not entered.is_set()
        remove_tree(paths.state)
    thread.join(10)
    assert entered.is_set()


def test_a_state_that_others_can_write_is_closed_to_them(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    paths.state.mkdir(parents=True)
    paths.state.chmod(0o777)
    with locked(paths):
        assert paths.state.stat().st_mode & 0o777 == 0o755


def test_a_state_that_cannot_be_made_is_one_line_that_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "var").touch()
    with (
        pytest.raises(RunnerError, match="nix-autocache: File exists; set HOME to a directory"),
        locked(paths_in(tmp_path)),
    ):
        pass
