"""Archives: Nix's own hash, deep trees, names of any bytes, and what is no file."""

import hashlib
import os
import socket
import struct
import sys
from pathlib import Path

import pytest

from nix_autocache.errors import CacheBusy, StoreError
from nix_autocache.nix import base32, nar

DEPTH = 1900  # directories: with one letter each, as deep as a path may be long


def words(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(text)) + text + bytes(-len(text) % 8) for text in texts)


@pytest.mark.slow
def test_a_tree_of_1900_directories_is_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").mkdir()
    deep = b"t"
    for _ in range(DEPTH):
        deep += b"/d"
        os.mkdir(deep)
    inner = words(b"(", b"type", b"directory")
    entry = words(b"entry", b"(", b"name", b"d", b"node")
    expected = words(b"nix-archive-1") + inner + (entry + inner) * DEPTH + words(b")") + words(b")", b")") * DEPTH
    try:
        assert b"".join(nar.archive("t")) == expected
    finally:
        os.removedirs(deep)  # what pytest removes with is no deeper than Python's calls


def test_names_that_are_no_text_are_in_an_archive_as_they_are(tmp_path: Path) -> None:
    directory = os.fsencode(tmp_path)
    for name in (b"\xff\xfe", b"new\nline", b"b"):
        with open(directory + b"/" + name, "wb") as file:
            file.write(name)
    archive = b"".join(nar.archive(str(tmp_path)))
    assert archive.index(words(b"name", b"b")) < archive.index(words(b"name", b"new\nline"))
    assert archive.index(words(b"name", b"new\nline")) < archive.index(words(b"name", b"\xff\xfe"))


def test_what_is_no_file_is_this_paths_error_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(os.fsencode(tmp_path) + b"/\xff\xfepipe")
    with pytest.raises(StoreError, match="no file, directory"):
        list(nar.archive(str(tmp_path)))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(StoreError, match="no file, directory"):
            list(nar.archive(str(tmp_path / "s")))


def test_a_moment_without_descriptors_is_no_fault_of_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("content")

    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CacheBusy, match="now"):
        list(nar.archive(str(tmp_path / "file")))


def test_an_archive_has_nixs_hash(tmp_path: Path) -> None:
    """A tree with every kind of node; the hash is what `nix-hash --type sha256` (Nix 2.8.0) prints for it."""
    tree = tmp_path / "tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "file").write_text("hello\n")
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o755)
    (tree / "a.link").symlink_to("../elsewhere")
    (tree / "sub").mkdir()
    (tree / "sub" / "big").write_bytes(bytes(range(256)) * 4096)
    digest = hashlib.sha256(b"".join(nar.archive(str(tree)))).digest()
    assert base32.encode(digest) == "0jlcjczbxhx5823n8zyic85ss7r8f3zkabnkawcl4fx0rmvzzff5"


def test_a_path_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        list(nar.archive(str(tmp_path / "gone")))


def test_names_that_macos_told_apart_are_packed_as_nix_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file system ignores case, Nix adds a suffix to names that differ only in case. On Linux it is a name.

    The order is that of the names without it: `a` is before `ab`, and `a~nix~case~hack~1` after it.
    """
    suffix = "~nix~case~hack~1"
    trees = {"as named": "", "on macOS": suffix}
    for tree, added in trees.items():
        (tmp_path / tree / "A").mkdir(parents=True)
        (tmp_path / tree / f"a{added}" / f"Foo{added}").mkdir(parents=True)
        for name in ("ab", f"a{added}/foo", f"a{added}/Foo{added}/x"):
            (tmp_path / tree / name).write_text("content")
        (tmp_path / tree / f"link{added}").symlink_to(f"a{suffix}")  # what a link names is not changed
    on_linux = [b"".join(nar.archive(str(tmp_path / tree))) for tree in trees]
    assert on_linux[0] != on_linux[1]
    monkeypatch.setattr(sys, "platform", "darwin")
    assert b"".join(nar.archive(str(tmp_path / "on macOS"))) == on_linux[0]
