"""Files and directories get the mode that was asked for, under any umask, and follow no link."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from nix_autocache.system import files, locks


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("umask")
def test_what_is_made_has_the_mode_that_was_said(tmp_path: Path) -> None:
    files.make_directory(tmp_path / "a/b", 0o700)
    files.make_file(tmp_path / "file", 0o644)
    files.write_atomically(tmp_path / "whole", "text", 0o600)
    files.write(tmp_path / "plain", "text", 0o640)
    with files.open_to_append(tmp_path / "log", 0o644) as log:
        log.write(b"line\n")
    with locks.locked(tmp_path / "lock", 0) as held:
        assert held
    modes = {path.name: mode(path) for path in tmp_path.rglob("*")}
    assert modes == {
        "a": 0o755, "b": 0o700, "file": 0o644, "whole": 0o600, "plain": 0o640, "log": 0o644, "lock": 0o600,
    }  # fmt: skip


def test_a_file_that_is_there_keeps_its_content_and_is_replaced_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    file.chmod(0o666)
    files.make_file(file, 0o600)
    assert (file.read_text(), mode(file)) == ("before", 0o600)
    file.chmod(0o666)
    files.write(file, "after", 0o644)
    assert (file.read_text(), mode(file)) == ("after", 0o644)


@pytest.mark.parametrize("target", ["there", "missing"])
def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "there").write_text("untouched")
    (tmp_path / "there").chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / target)
    for make in (files.make_file, files.open_to_append, files.open_to_write, files.set_mode):
        with pytest.raises(OSError, match="symbolic links"):
            make(link, 0o600)
    assert (tmp_path / "there").read_text() == "untouched"
    assert mode(tmp_path / "there") == 0o640
    assert not (tmp_path / "missing").exists()


def test_nothing_is_reached_through_a_link_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    with files.handle_of(tmp_path / "real/inner") as handle:
        assert os.path.samestat(os.fstat(handle), (tmp_path / "real/inner").stat())
    for way in ("link/inner", "link"):
        with pytest.raises(OSError), files.handle_of(tmp_path / way):  # noqa: PT011 - it is a directory, or not
            pass


def test_a_socket_and_a_pipe_get_modes_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    files.set_mode(tmp_path / "pipe", 0o600)
    assert mode(tmp_path / "pipe") == 0o600
