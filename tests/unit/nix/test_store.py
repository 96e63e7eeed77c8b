"""Store paths, and a Nix installation: which version it is, what is in its store, and what derivations make."""

import os
import re
from pathlib import Path

import pytest

from nix_autocache.errors import InputError
from nix_autocache.nix.store import Nix, StorePath, parse_store_path
from tests.harness.samples import CA, HASH, PATH, derivation

STORE = "/nix/store"


@pytest.mark.parametrize(
    "text",
    [
        "",
        STORE,
        f"{STORE}/",
        f"/tmp/{HASH}-a",
        f"{STORE}/{HASH}-a/bin",
        f"{STORE}/short-a",
        f"{STORE}/{HASH}",
        f"{STORE}/{HASH}-",
        f"{STORE}/{HASH}-a\n",
        f"{STORE}/{HASH}-{'a' * 212}",
        f"{STORE}/{HASH.replace('0', 'e')}-a",
        f"{STORE}/{HASH}-é",
    ],
)
def test_what_is_no_store_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_store_path(text, STORE)


def test_a_store_path_has_a_hash_and_a_name() -> None:
    path = parse_store_path(f"{STORE}/{HASH}-glibc-2.40-66.drv", STORE)
    assert (path.base, path.hash_part, path.name) == (f"{HASH}-glibc-2.40-66.drv", HASH, "glibc-2.40-66.drv")


@pytest.mark.parametrize(
    ("program", "version"),
    [
        ("#!/bin/sh\necho 'nix-store (Nix) 2.34.7'\n", "2.34.7"),
        ("#!/bin/sh\necho 'nix-store (Determinate Nix 3.6.2) 2.29.0'\n", "2.29.0"),
        ("#!/bin/sh\nexit 1\n", ""),
        ("#!/nowhere\n", ""),
    ],
)
def test_the_version_is_what_nix_store_says(tmp_path: Path, program: str, version: str) -> None:
    file = tmp_path / "nix-store"
    file.write_text(program)
    file.chmod(0o755)
    assert Nix(tmp_path).version() == version


def test_paths_and_links_lead_to_the_store_path_that_they_are_in(tmp_path: Path) -> None:
    store = tmp_path.resolve() / "store"
    there = store / f"{HASH}-a"
    (there / "bin").mkdir(parents=True)
    (tmp_path / "result").symlink_to(there)
    (tmp_path / "run").symlink_to("result/bin")
    nix = Nix(Path("/absent"), str(store))
    given = [str(there), str(there / "bin"), str(tmp_path / "result"), str(tmp_path / "run"), f"{store}/{HASH}-gone"]
    assert nix.store_paths(given) == [*[str(there)] * 4, f"{store}/{HASH}-gone"]
    for elsewhere in (str(store), str(tmp_path), str(store / "plain"), f"{there}/../../x"):
        with pytest.raises(InputError, match=re.escape(f"{elsewhere} is not in {store}")):
            nix.store_paths([str(there), elsewhere])


def test_a_store_path_that_is_a_link_is_not_followed_to_another_one(tmp_path: Path) -> None:
    """As the result of `ln -s ${hello} $out`: it has to be pushed itself."""
    store = tmp_path.resolve() / "store"
    linked, other = store / f"{HASH}-linked", store / f"{HASH}-other"
    other.mkdir(parents=True)
    linked.symlink_to(other)
    (tmp_path / "result").symlink_to(linked)
    (tmp_path / "again").symlink_to("result")
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    ways = [linked, *(tmp_path / way for way in ("result", "again", "result/bin", "elsewhere/again"))]
    assert Nix(Path("/absent"), str(store)).store_paths(map(str, ways)) == [str(linked)] * len(ways)


def test_links_in_a_circle_are_in_no_store(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(InputError, match="is not in"):
        Nix(Path("/absent"), str(tmp_path / "store")).store_paths([str(tmp_path / "a")])


def test_a_derivations_outputs_are_read_from_its_file(tmp_path: Path) -> None:
    outputs = [f"{STORE}/{letter * 32}-x" for letter in "ab"]
    ours = "".join(f'("{name}","{path}","",""),' for name, path in zip(("dev", "out"), outputs, strict=True))
    inputs = f'[("{STORE}/{HASH}-input.drv",["out"])],[("x","{PATH}","","")]'
    whole = derivation(tmp_path, f"Derive([{ours[:-1]}],{inputs})")
    assert Nix(Path("/absent")).outputs(whole) == outputs


def test_a_derivation_that_is_gone_or_content_addressed_names_no_output(tmp_path: Path) -> None:
    nix = Nix(Path("/absent"))
    assert nix.outputs(StorePath(tmp_path / "gone.drv")) == []
    assert nix.outputs(derivation(tmp_path, CA)) == []


def test_a_file_that_only_looks_like_a_derivation_names_no_path(tmp_path: Path) -> None:
    nix = Nix(Path("/absent"))
    file = tmp_path / "x.drv"
    file.write_bytes(
        b'Derive([("out","/etc/passwd","",""),("bin","%s","",""),("x","\xff","","")],[' % os.fsencode(PATH)
    )
    assert nix.outputs(StorePath(file)) == [PATH]
    file.write_bytes(bytes(range(256)) * 100)
    assert nix.outputs(StorePath(file)) == []
    assert nix.outputs(StorePath(tmp_path)) == []
