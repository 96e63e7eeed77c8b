"""Trees are removed whatever lies in them."""

import os
import stat
from pathlib import Path

import pytest

from nix_autocache.system import trees
from nix_autocache.system.trees import remove_tree, temporary_directory


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def deep(directory: Path, levels: int) -> None:
    """Directories in one another, deeper than a path can be long."""
    here = os.open(directory, os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


@pytest.mark.slow
def test_a_tree_is_removed_whatever_lies_in_it(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "file").write_text("stays")
    (tree / "closed/inner").mkdir(parents=True)
    (tree / "closed/inner/file").write_text("")
    (tree / "link").symlink_to(outside)
    (tree / "closed/link").symlink_to("/")
    os.mkfifo(tree / "pipe")
    os.mkdir(tree / os.fsdecode(b"\xff\n"))
    deep(tree, 3000)
    for path in ("closed/inner", "closed"):
        (tree / path).chmod(0)
    remove_tree(tree)
    assert os.listdir(tmp_path) == ["outside"]
    assert (outside / "file").read_text() == "stays"
    assert mode(outside) == 0o755


def test_only_a_link_is_removed_and_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    remove_tree(tmp_path / "link")
    remove_tree(tmp_path / "missing")
    remove_tree(tmp_path / "no/such/directory")
    assert os.listdir(tmp_path) == ["there"]


def test_a_temporary_directory_is_this_users_alone_and_goes_with_all_in_it(tmp_path: Path) -> None:
    with temporary_directory(str(tmp_path)) as made, temporary_directory(str(tmp_path)) as other:
        assert made.parent == other.parent == tmp_path
        assert made != other
        assert mode(made) == 0o700
        (made / "sub").mkdir()
        (made / "sub/file").touch()
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_directory_goes_also_when_its_block_ends_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), temporary_directory(str(tmp_path)):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [None, "", "/absent"])
def test_where_no_directory_can_be_made_it_is_made_elsewhere(given: str | None) -> None:
    with temporary_directory(given) as made:
        assert made.parent == Path("/tmp")


def test_where_none_can_be_made_at_all_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "_TEMPORARY", ("/absent",))
    with pytest.raises(FileNotFoundError, match="/absent"), temporary_directory():
        pass
