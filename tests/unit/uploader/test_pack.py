"""Archives, narinfos, URLs, retries: what an upload is made of, without Nix."""

import hashlib
import re
import sys
import threading
from pathlib import Path

import pytest

from nix_autocache.caches.http_status import refusal
from nix_autocache.errors import CacheBusy, CacheError, StoreError
from nix_autocache.nix import base32, keys, nar
from nix_autocache.nix.narinfo import NarFile, fingerprint, parse, render
from nix_autocache.nix.store import PathInfo, StorePath, parse_store_path
from nix_autocache.uploader.compress import Codec
from nix_autocache.uploader.pack import Packing
from nix_autocache.uploader.retry import retrying
from nix_autocache.uploader.workers import Budget

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HASH = "0123456789abcdfghijklmnpqrsvwxyz"


def test_base32_is_nixs_own() -> None:
    """sha256 of the empty string, as `nix-hash --type sha256 --base32` prints it."""
    assert base32.encode(hashlib.sha256(b"").digest()) == "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"


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


def test_a_path_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        list(nar.archive(str(tmp_path / "gone")))


def test_a_narinfo_carries_the_stores_signatures_and_ours() -> None:
    key = keys.generate("ours-1")
    path = StorePath(f"/nix/store/{HASH}-a")
    there = PathInfo(path, "", (path,), "sha256:1", 5, "", ("theirs-1:AA", "ours-1:old"))
    fields = parse(render(there, NarFile("nar/1.nar.zst", "zstd", "2", 4), key))
    assert fields["References"] == [path.base]
    assert fields["Sig"][0] == "theirs-1:AA"
    assert key.public.verifies(fingerprint(there), fields["Sig"][1])
    assert len(fields["Sig"]) == 2


@pytest.mark.parametrize(
    "text", ["", "/nix/store", "/nix/store/", f"/tmp/{HASH}-a", f"/nix/store/{HASH}-a/bin", "/nix/store/short-a"]
)
def test_what_is_no_store_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_store_path(text, "/nix/store")


def test_a_busy_cache_is_asked_again_until_it_answers() -> None:
    answers = iter([CacheBusy("503"), CacheBusy("429", retry_after=0.01), None])

    def attempt() -> str:
        if error := next(answers):
            raise error
        return "done"

    assert retrying(attempt, threading.Event()) == "done"


def test_a_conflict_that_stays_is_an_error_and_not_waited_for_until_the_deadline() -> None:
    """As a WebDAV server answers where the folder is missing."""

    class Stays(CacheBusy):
        longest = 0.05

    def attempt() -> None:
        raise Stays("nar/x: HTTP status 409 Conflict", retry_after=0.01)

    with pytest.raises(CacheError, match=r"409 Conflict; is it a folder that is missing\?"):
        retrying(attempt, threading.Event())
    assert refusal("http://h", "nar/x", 409, "", 0.0).longest < CacheBusy.longest  # type: ignore[attr-defined]


def test_what_is_refused_for_good_is_not_asked_again() -> None:
    calls = []

    def attempt() -> None:
        calls.append(1)
        raise CacheError("403")

    with pytest.raises(CacheError):
        retrying(attempt, threading.Event())
    assert len(calls) == 1


def test_a_retry_ends_at_once_when_told_to_stop() -> None:
    stop = threading.Event()
    stop.set()

    def attempt() -> None:
        raise CacheBusy("503", retry_after=60)

    with pytest.raises(CacheBusy):
        retrying(attempt, stop)


def test_a_budget_lets_the_largest_through_alone() -> None:
    budget, entered = Budget(10), threading.Event()

    def largest() -> None:
        with budget.hold(1000):
            entered.set()

    with budget.hold(4), budget.hold(6):
        threading.Thread(target=largest, daemon=True).start()
        assert not entered.is_set()
    assert entered.wait(10), "nobody else holds any of it"
    with budget.hold(10):
        pass
