"""nix-cache-info: what makes a host a binary cache, and what is mended in it."""

from pathlib import Path

import pytest

from nix_autocache.caches.http import HttpCache
from nix_autocache.errors import CacheError
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.uploader.compress import Codec
from nix_autocache.uploader.push import BinaryCache
from tests.harness import odd
from tests.harness.samples import KEY


def pusher(server: odd.Odd) -> BinaryCache:
    cache = HttpCache(parse_cache_url(server.url), {})
    return BinaryCache(cache=cache, key=KEY, codec=Codec(name="zstd", level=3), cache_info="Priority: 41\n")


def check(server: odd.Odd) -> None:
    made = pusher(server)
    if made.check("/nix/store"):
        made.confirm()


@pytest.mark.parametrize("modes", [["page"], ["page", "drops"], ["blank", "drops"]], ids="-".join)
def test_a_host_that_answers_everything_is_no_cache(tmp_path: Path, modes: list[str]) -> None:
    with odd.in_thread(tmp_path, *modes) as server, pytest.raises(CacheError, match="not a binary cache"):
        check(server)


@pytest.mark.parametrize("modes", [[], ["blank"], ["missing=403"], ["gzip"]], ids="-".join)
def test_a_cache_that_answers_oddly_is_one(tmp_path: Path, modes: list[str]) -> None:
    with odd.in_thread(tmp_path, *modes) as server:
        check(server)
        assert (tmp_path / "nix-cache-info").read_text() == "StoreDir: /nix/store\nPriority: 41\n"
        check(server)
        assert len(server.asked("PUT")) == 1


@pytest.mark.parametrize(
    "text", [odd.PAGE, b'{"error": 1}', b"\xff\xfe\x00", b"<Error/>", b"StoreDirectory: /nix/store"]
)
def test_what_is_no_nix_cache_info_is_said_and_left(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "nix-cache-info").write_bytes(text)
    with odd.in_thread(tmp_path) as server, pytest.raises(CacheError, match="not a binary cache"):
        check(server)
    assert (tmp_path / "nix-cache-info").read_bytes() == text


@pytest.mark.parametrize(
    "text", ["", "\n", "Priority: \n", "StoreDir: /nix/store\nPriority: high\n", "Priority: 99999999999"]
)
def test_what_ends_every_nix_that_reads_it_is_mended(tmp_path: Path, text: str) -> None:
    (tmp_path / "nix-cache-info").write_text(text)
    with odd.in_thread(tmp_path) as server:
        check(server)
    assert (tmp_path / "nix-cache-info").read_text() == "StoreDir: /nix/store\nPriority: 41\n"


def test_another_store_directory_is_said_and_left(tmp_path: Path) -> None:
    (tmp_path / "nix-cache-info").write_text("StoreDir: /gnu/store\nPriority: \n")
    with odd.in_thread(tmp_path) as server, pytest.raises(CacheError, match="holds paths of /gnu/store"):
        check(server)
