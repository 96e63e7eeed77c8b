"""A path is "already there" if Nix can read its narinfo, it describes this path, and readers trust it."""

import base64
import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from dataclasses import replace
from operator import length_hint
from pathlib import Path

import pytest

from nix_autocache.caches.http import Http
from nix_autocache.errors import CacheError
from nix_autocache.nix import keys
from nix_autocache.nix.narinfo import render
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.uploader.compress import CORRUPT, Codec, unpacked
from nix_autocache.uploader.pack import verified
from nix_autocache.uploader.presence import ABSENT, THERE, decoded, judge
from nix_autocache.uploader.push import BinaryCache
from tests.harness import odd
from tests.harness.samples import FILE, INFO, KEY, OTHER, OTHERS, PATH, READERS, SIGNED, UNSIGNED

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.mark.parametrize(
    "text",
    [
        SIGNED,
        render(replace(INFO, nar_hash=f"sha256:{'1' * 52}", nar_size=7), FILE, KEY),  # a build that differs
        SIGNED.replace(f"sha256:{'0' * 52}", f"sha256:{'0' * 64}"),
        SIGNED.replace(f"sha256:{'0' * 52}", f"sha256-{base64.b64encode(bytes(32)).decode()}"),
        SIGNED.replace("FileHash: sha256:" + "1" * 52 + "\n", "").replace("FileSize: 99\n", ""),
        SIGNED.replace("Compression: zstd\n", ""),
        SIGNED.replace("Deriver: ", "System: x86_64-linux\nDeriver: "),
    ],
)
def test_what_readers_trust_is_there(text: str) -> None:
    assert judge(text.encode(), INFO, READERS) == THERE


def test_what_another_key_of_the_readers_signed_is_there() -> None:
    text = render(INFO, FILE, OTHERS).encode()
    assert judge(text, INFO, READERS) != THERE
    assert judge(text, INFO, (*READERS, OTHERS.public)) == THERE


def test_what_names_itself_needs_no_signature() -> None:
    info = replace(INFO, ca=f"fixed:r:sha256:{'0' * 52}")
    assert judge(render(info, FILE, None).encode(), info, READERS) == THERE
    assert judge(render(info, FILE, None).encode(), INFO, READERS) != THERE


@pytest.mark.parametrize(
    "pack", [gzip.compress, zstd.compress, lzma.compress, bz2.compress], ids=["gzip", "zstd", "xz", "bzip2"]
)
def test_a_narinfo_that_is_stored_compressed_is_read(pack: Callable[[bytes], bytes]) -> None:
    assert judge(pack(SIGNED.encode()), INFO, READERS) == THERE
    assert judge(pack(SIGNED.encode())[:-3], INFO, READERS) == ABSENT
    assert judge(pack(bytes(40 << 20)), INFO, READERS) == ABSENT


PAGE = "<!doctype html>\n<title>Log in</title>\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        PAGE,
        PAGE + SIGNED,
        SIGNED + PAGE,
        '{"error": "not found"}\n',
        SIGNED[:-1],
        SIGNED[:40],
        SIGNED.replace("\n", "\r\n"),
        SIGNED.replace(str(PATH), str(OTHER)),
        SIGNED.replace(PATH.base, PATH.base + "b"),
        SIGNED.replace("URL: nar/x.nar.zst\n", ""),
        SIGNED.replace("URL: nar/x.nar.zst", "URL: "),
        SIGNED.replace("NarHash", "X"),
        SIGNED.replace(f"NarHash: sha256:{'0' * 52}", "NarHash: md5:00"),
        SIGNED.replace("NarSize: 120", "NarSize: -1"),
        SIGNED.replace("NarSize: 120", "NarSize: many"),
        SIGNED.replace("FileSize: 99", "FileSize: "),
        SIGNED.replace(f"FileHash: sha256:{'1' * 52}", "FileHash: sha256:1"),
        SIGNED.replace("zstd\n", "nonsense\n"),
        SIGNED.replace(f"References: {OTHER.base}", "References: ../../etc"),
        SIGNED.replace("Deriver: ", "Deriver: /"),
        SIGNED.replace("NarSize: 120\n", "NarSize: 120\nNarSize: 120\n"),
        SIGNED + "CA: nonsense\n",
        SIGNED + "Sig: nonsense\n",
        f"StorePath: {PATH}\n",
        "\0" * 100,
    ],
)
@pytest.mark.parametrize("readers", [READERS, ()], ids=["signed", "unsigned"])
def test_what_is_no_narinfo_of_the_path_is_not_there(text: str, readers: tuple[keys.PublicKey, ...]) -> None:
    assert judge(text.encode(), INFO, readers) == ABSENT


@pytest.mark.parametrize("content", [b"\xff\xfe" + SIGNED.encode("utf-16-le"), b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh9"])
def test_bytes_that_are_no_text_are_not_there(content: bytes) -> None:
    assert judge(content, INFO, READERS) == ABSENT


def test_without_a_key_a_narinfo_needs_no_signature() -> None:
    assert judge(UNSIGNED.encode(), INFO, ()) == THERE


@pytest.mark.parametrize("claim", ["", "Sig: ours-1:AAAA\n", f"Sig: {KEY.sign(b'something else')}\n"])
def test_what_lacks_only_our_signature_may_be_signed_again(claim: str) -> None:
    found = judge((UNSIGNED + claim).encode(), INFO, READERS)
    assert found.archive
    assert (found.archive.url, found.archive.compression) == ("nar/x.nar.zst", "zstd")


@pytest.mark.parametrize(
    "text",
    [
        render(replace(INFO, nar_hash=f"sha256:{'1' * 52}"), FILE, None),
        render(replace(INFO, nar_size=121), FILE, None),
        render(replace(INFO, references=()), FILE, None),
        render(replace(INFO, references=(PATH, OTHER)), FILE, None),
        render(INFO, replace(FILE, url="https://evil.example/x.nar"), None),
        render(INFO, replace(FILE, url="/x.nar"), None),
        render(INFO, replace(FILE, url="nar/../../x.nar"), None),
        render(INFO, replace(FILE, url="nar/..%2f..%2fx.nar"), None),
        render(INFO, replace(FILE, url="nar/x.nar?versionId=1"), None),
        render(INFO, replace(FILE, url="file:///etc/passwd"), None),
    ],
)
def test_what_was_planted_with_something_of_its_own_is_never_signed(text: str) -> None:
    assert judge(text.encode(), INFO, READERS) == ABSENT


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


def test_an_unknown_compression_is_not_read() -> None:
    with pytest.raises(CORRUPT):
        unpacked("br", [b""])
    assert decoded(b"StoreDir: /nix/store\n") == "StoreDir: /nix/store\n"


def pusher(server: odd.Odd) -> BinaryCache:
    cache = Http(parse_cache_url(server.url), {})
    return BinaryCache(cache=cache, key=KEY, codec=Codec(name="zstd", level=3), cache_info="Priority: 41\n")


@pytest.mark.parametrize("modes", [["page"], ["page", "drops"], ["blank", "drops"]], ids="-".join)
def test_a_host_that_answers_everything_is_no_cache(tmp_path: Path, modes: list[str]) -> None:
    with odd.in_thread(tmp_path, *modes) as server, pytest.raises(CacheError, match="not a binary cache"):
        pusher(server).check("/nix/store")


@pytest.mark.parametrize("modes", [[], ["blank"], ["missing=403"], ["gzip"]], ids="-".join)
def test_a_cache_that_answers_oddly_is_one(tmp_path: Path, modes: list[str]) -> None:
    with odd.in_thread(tmp_path, *modes) as server:
        pusher(server).check("/nix/store")
        assert (tmp_path / "nix-cache-info").read_text() == "StoreDir: /nix/store\nPriority: 41\n"
        pusher(server).check("/nix/store")
        assert len(server.asked("PUT")) == 1


@pytest.mark.parametrize(
    "text", [odd.PAGE, b'{"error": 1}', b"\xff\xfe\x00", b"<Error/>", b"StoreDirectory: /nix/store"]
)
def test_what_is_no_nix_cache_info_is_said_and_left(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "nix-cache-info").write_bytes(text)
    with odd.in_thread(tmp_path) as server, pytest.raises(CacheError, match="not a binary cache"):
        pusher(server).check("/nix/store")
    assert (tmp_path / "nix-cache-info").read_bytes() == text


@pytest.mark.parametrize(
    "text", ["", "\n", "Priority: \n", "StoreDir: /nix/store\nPriority: high\n", "Priority: 99999999999"]
)
def test_what_ends_every_nix_that_reads_it_is_mended(tmp_path: Path, text: str) -> None:
    (tmp_path / "nix-cache-info").write_text(text)
    with odd.in_thread(tmp_path) as server:
        pusher(server).check("/nix/store")
    assert (tmp_path / "nix-cache-info").read_text() == "StoreDir: /nix/store\nPriority: 41\n"


def test_another_store_directory_is_said_and_left(tmp_path: Path) -> None:
    (tmp_path / "nix-cache-info").write_text("StoreDir: /gnu/store\nPriority: \n")
    with odd.in_thread(tmp_path) as server, pytest.raises(CacheError, match="holds paths of /gnu/store"):
        pusher(server).check("/nix/store")


def test_a_narinfo_that_is_too_large_is_not_there(tmp_path: Path) -> None:
    with odd.in_thread(tmp_path, "endless") as server:
        assert pusher(server).ask([INFO]) == {}
        assert pusher(server).find(INFO) == ABSENT
