"""Archives on their way into and out of a cache: hash, size, and what was changed or never ends."""

import hashlib
import sys
from pathlib import Path

import pytest

from nix_autocache.errors import StoreError
from nix_autocache.nix import base32, nar
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.uploader.compress import Codec
from nix_autocache.uploader.pack import Packing

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd
import bz2
import gzip
import lzma
import sys
from operator import length_hint

from nix_autocache.uploader.pack import verified
from nix_autocache.uploader.presence import decoded
from tests.harness.samples import INFO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def info(path: Path, content: bytes = b"") -> PathInfo:
    digest = hashlib.sha256(b"".join(nar.archive(str(path)))).digest()
    size = sum(map(len, nar.archive(str(path))))
    return PathInfo(StorePath(path), "", (), f"sha256:{base32.encode(digest)}", size, "", ())


@pytest.mark.parametrize("name", ["zstd", "xz", "none"])
def test_a_packing_ends_with_the_hash_and_size_of_what_it_gave(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x" * 300_000)
    packing = Packing(info(tmp_path / "file"), Codec(name=name, level=3))  # type: ignore[arg-type]
    body = b"".join(packing)
    assert packing.file is not None
    assert packing.file.file_size == len(body)
    assert packing.file.file_hash == base32.encode(hashlib.sha256(body).digest())


def test_a_large_archive_in_pieces_is_one_file_and_the_same_each_time(tmp_path: Path) -> None:
    for number in range(9):  # 18 MB: large ones are compressed from 16 MB on
        (tmp_path / str(number)).write_bytes(bytes([number]) * (2 << 20))
    whole, codec = info(tmp_path), Codec(name="zstd", level=3)
    body = b"".join(Packing(whole, codec))
    assert zstd.decompress(body) == b"".join(nar.archive(str(tmp_path)))
    assert len(body) < 10_000
    assert b"".join(Packing(whole, codec)) == body


@pytest.mark.parametrize("size", [10, 18 << 20])
def test_a_path_that_was_changed_on_disk_is_never_given_out_whole(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"a" * size)
    registered = info(tmp_path / "file")
    with open(tmp_path / "file", "r+b") as file:
        file.write(b"b")
    with pytest.raises(StoreError, match="changed on disk"):
        b"".join(Packing(registered, Codec(name="zstd", level=3)))


@pytest.mark.parametrize("frame", [zstd.compress(b""), bz2.compress(b""), lzma.compress(b"")])
def test_a_megabyte_of_empty_frames_is_no_narinfo_and_no_archive(frame: bytes) -> None:
    name = {b"\x28": "zstd", b"B": "bzip2", b"\xfd": "xz"}[frame[:1]]
    count = (1 << 20) // len(frame)
    assert decoded(frame * count) == ""
    pieces = iter([frame] * count)
    assert verified(INFO, "nar/x", name, pieces) is None
    assert length_hint(pieces) > count - 2000


@pytest.mark.parametrize("frame", [b"", gzip.compress(bytes(INFO.nar_size), mtime=0), gzip.compress(b"", mtime=0)])
def test_an_archive_without_an_end_is_not_read_to_its_end(frame: bytes) -> None:
    skipped = b"\x50\x2a\x4d\x18" + (0xFFFFFFFF).to_bytes(4, "little")  # 4 GB that zstd passes over
    pieces = iter([frame or skipped, *[bytes(100_000)] * 1000])
    assert verified(INFO, "nar/x", "gzip" if frame else "zstd", pieces) is None
    assert length_hint(pieces) > 980
