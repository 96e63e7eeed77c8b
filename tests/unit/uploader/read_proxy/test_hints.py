"""What a narinfo leads to, and what it cannot lead to."""

import hashlib

import pytest

from nix_autocache.nix import base32
from nix_autocache.uploader.read_proxy.hints import Archive, narinfo_of, of_narinfo
from tests.harness.object_cache import FaultyCache, base


def narinfo(references: tuple[int, ...] = ()) -> str:
    cache = FaultyCache()
    name, _ = cache.add(1, b"content", references)
    return cache.objects[name].decode()


def test_a_narinfo_leads_to_its_references_without_itself_and_to_its_archive() -> None:
    hints = of_narinfo(narinfo((1, 2, 3, 2)).encode())
    digest = base32.encode(hashlib.sha256(b"content").digest())
    assert hints
    assert hints.base == base(1)
    assert hints.references == (base(2), base(3))
    assert hints.archive == Archive(f"nar/{digest}.nar", 7, f"sha256:{digest}")
    assert [narinfo_of(each) for each in hints.references] == [f"{2:032d}.narinfo", f"{3:032d}.narinfo"]


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("URL: nar/", "URL: https://example.org/nar/"),
        ("URL: nar/", "URL: ../nar/"),
        ("FileSize: 7\n", ""),
        ("FileSize: 7", "FileSize: 0"),
        ("FileSize: 7", "FileSize: \u0667"),
        ("FileSize: 7", "FileSize: 9999999999999999"),
        ("FileHash: sha256:", "FileHash: sha512:"),
    ],
)
def test_an_archive_that_could_not_be_compared_with_it_is_none(there: str, instead: str) -> None:
    hints = of_narinfo(narinfo((2,)).replace(there, instead).encode())
    assert hints
    assert hints.archive is None
    assert hints.references == (base(2),)


@pytest.mark.parametrize("content", [None, b"", b"<html>\n", b"StorePath: x\n", narinfo().encode()[:-1]])
def test_what_nix_would_refuse_leads_nowhere(content: bytes | None) -> None:
    assert of_narinfo(content) is None
