"""Compressed archives are unpacked in pieces."""

import bz2
import gzip
import lzma
from collections.abc import Callable

import pytest

from nix_autocache.nix.unpack import CORRUPT, unpacked
from nix_autocache.nix.zstd import zstd
from nix_autocache.uploader.presence import decoded


@pytest.mark.parametrize("name", ["zstd", "xz", "bzip2", "gzip", "none"])
def test_what_is_unpacked_comes_in_pieces(name: str) -> None:
    pack: dict[str, Callable[[bytes], bytes]] = {
        "zstd": lambda data: zstd.compress(data[:9]) + zstd.compress(data[9:]),
        "xz": lzma.compress,
        "bzip2": bz2.compress,
        "gzip": gzip.compress,
        "none": bytes,
    }
    content = bytes(5 << 20)
    packed = pack[name](content)
    pieces = list(unpacked(name, (packed[start : start + 1000] for start in range(0, len(packed), 1000))))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 1 << 20
    if name != "none":
        with pytest.raises(CORRUPT):
            list(unpacked(name, [packed[:-1]]))


def test_an_unknown_compression_is_not_read() -> None:
    with pytest.raises(CORRUPT):
        unpacked("br", [b""])
    assert decoded(b"StoreDir: /nix/store\n") == "StoreDir: /nix/store\n"
