"""Which release is installed, and what must be known of it."""

import platform
import re

import pytest

from nix_autocache.errors import RunnerError
from nix_autocache.nix.install.release import HASHES, PINNED_NIX, SYSTEMS, known_hashes, release


@pytest.mark.parametrize(
    ("machine", "system"), [("x86_64", "x86_64"), ("aarch64", "aarch64"), ("arm64", "aarch64"), ("amd64", "x86_64")]
)
def test_the_default_release_is_pinned_on_either_architecture(
    machine: str, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    found = release(version=PINNED_NIX, url="", sha256="", environ={})
    assert found.url.endswith(f"/nix-{PINNED_NIX}/nix-{PINNED_NIX}-{system}-linux.tar.xz")
    assert len(found.sha256) == 64


def test_a_hash_that_is_given_beats_the_one_that_is_known() -> None:
    assert release(version=PINNED_NIX, url="", sha256="1" * 64, environ={}).sha256 == "1" * 64
    given = release(version=PINNED_NIX, url="file:///a.tar.xz", sha256="2" * 64, environ={})
    assert (given.url, given.sha256) == ("file:///a.tar.xz", "2" * 64)


def test_a_machine_that_no_release_is_for_is_told_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(RunnerError, match="no Nix release for riscv64; name one"):
        release(version=PINNED_NIX, url="", sha256="", environ={})


def test_each_known_hash_is_one_and_of_a_system_that_nix_is_installed_on() -> None:
    line = rf"[0-9a-f]{{64}}  nix-\d+\.\d+\.\d+-({'|'.join(SYSTEMS)})\.tar\.xz"
    lines = HASHES.read_text().splitlines()
    assert [each for each in lines if not re.fullmatch(line, each)] == []
    assert len(known_hashes()) == len(lines), "no tarball has two"
    assert len(set(known_hashes().values())) == len(lines), "no two have the same"
