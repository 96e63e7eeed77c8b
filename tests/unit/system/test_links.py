"""The way to a path, with the links on it."""

from pathlib import Path

import pytest

from nix_autocache.system import files, links


def names(path: Path, top: Path) -> list[str]:
    """The parts of the way to a path that are below a directory."""
    return [str(part.relative_to(top)) for part in links.way(path) if part.is_relative_to(top) and part != top]


def test_each_directory_link_and_target_is_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b/c").mkdir(parents=True)
    (tmp_path / "a/relative").symlink_to("../b")
    (tmp_path / "a/absolute").symlink_to(tmp_path / "a/relative/c")
    assert names(tmp_path / "a/relative/c", tmp_path) == ["a", "a/relative", "b", "b/c"]
    assert names(tmp_path / "a/absolute/file", tmp_path) == [
        "a",
        "a/absolute",
        "a",
        "a/relative",
        "b",
        "b/c",
        "b/c/file",
    ]


def test_a_way_without_end_is_an_error_and_belongs_to_nobody(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("y")
    (tmp_path / "y").symlink_to("x")
    with pytest.raises(OSError, match="symbolic links"):
        list(links.way(tmp_path / "x"))
    assert not files.is_only_of(tmp_path / "x", {0, tmp_path.stat().st_uid})
