"""A path is "already there" if Nix can read its narinfo, it describes this path, and readers trust it."""

import base64
import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nix_autocache.caches.http import HttpCache
from nix_autocache.nix import keys
from nix_autocache.nix.narinfo import render
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.system.dataclass import replace
from nix_autocache.uploader.compress import Codec
from nix_autocache.uploader.presence import ABSENT, THERE, judge
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


def pusher(server: odd.Odd) -> BinaryCache:
    cache = HttpCache(parse_cache_url(server.url), {})
    return BinaryCache(cache=cache, key=KEY, codec=Codec(name="zstd", level=3), cache_info="Priority: 41\n")


def test_a_narinfo_that_is_too_large_is_not_there(tmp_path: Path) -> None:
    with odd.in_thread(tmp_path, "endless") as server:
        assert pusher(server).ask([INFO]) == {}
        assert pusher(server).find(INFO) == ABSENT
