"""Caches behind servers that speak HTTP in their own way: redirects, refusals, sizes, and who hears the credentials."""

import base64
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nix_autocache.caches.http import HttpCache
from nix_autocache.caches.http_status import INFO
from nix_autocache.errors import CacheBusy, CacheError, CredentialsError
from nix_autocache.nix.store_url import parse_cache_url
from tests.harness import odd
from tests.harness.odd import Odd

NARINFO = "0123456789abcdfghijklmnpqrsvwxyz.narinfo"
ARCHIVE = "nar/0123456789abcdfghijklmnpqrsvwxyz.nar.zst"
TEXT = b"StorePath: /nix/store/0123456789abcdfghijklmnpqrsvwxyz-a\nNarHash: sha256:1\nURL: nar/x\n"
LARGE = random.Random(1).randbytes(3 << 20)


class Pieces(Iterable[bytes]):
    """A body that does not know its size."""

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(LARGE), 100_000):
            yield LARGE[start : start + 100_000]


def cache_of(server: Odd, credentials: str = "", path: str = "") -> HttpCache:
    return HttpCache(parse_cache_url(server.url.replace("//", f"//{credentials}") + path), {})


def read(cache: HttpCache, name: str) -> bytes | None:
    content = cache.open(name)
    return b"".join(content.pieces) if content else None


def store(directory: Path, name: str, text: bytes) -> None:
    (directory / name).parent.mkdir(exist_ok=True, parents=True)
    (directory / name).write_bytes(text)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_question_is_followed_to_where_it_is_sent(tmp_path: Path, status: int) -> None:
    """To a place that was signed for GET, as artifact stores have it: HEAD is refused there."""
    store(tmp_path, NARINFO, TEXT)
    store(tmp_path, ARCHIVE, LARGE)
    with odd.in_thread(tmp_path, f"redirect-get={status}", "signed") as server:
        cache = cache_of(server)
        assert cache.get(NARINFO) == TEXT
        assert cache.get_many([NARINFO, "gone.narinfo"]) == {NARINFO: TEXT, "gone.narinfo": None}
        there = [name for name in (NARINFO, ARCHIVE, "nar/gone", "gone.narinfo") if cache.exists(name)]
        assert there == [NARINFO, ARCHIVE]
        assert read(cache, ARCHIVE) == LARGE
        assert cache.open("nar/gone") is None
        assert "X-Signature=a%2Fb" in server.asked("GET")[-1].path


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("body", [TEXT, Pieces()], ids=["bytes", "pieces"])
def test_a_put_is_followed_with_its_body(tmp_path: Path, status: int, body: Any) -> None:
    with odd.in_thread(tmp_path, f"redirect-put={status}") as server:
        cache_of(server).put(ARCHIVE, body, "application/x-nix-nar")
        puts = [request.path.startswith(odd.ELSEWHERE) for request in server.asked("PUT")]
        assert puts == ([False] if status == 303 else [False, True])
    assert (tmp_path / ARCHIVE).read_bytes() == b"".join([body] if isinstance(body, bytes) else body)


def test_credentials_go_to_no_other_server(tmp_path: Path) -> None:
    store(tmp_path, NARINFO, TEXT)
    with odd.in_thread(tmp_path) as other:
        for method in ("get", "put"):
            with odd.in_thread(tmp_path, f"redirect-{method}=307", f"to={other.url}") as server:
                cache = cache_of(server, "me:s3cret@")
                assert cache.get(NARINFO) == TEXT
                cache.put("other.narinfo", TEXT, "text/x-nix-narinfo")
                told = {request.headers.get("Authorization") for request in server.requests}
                assert told == {"Basic " + base64.b64encode(b"me:s3cret").decode()}
        assert len(other.requests) > 1
        assert not [request for request in other.requests if "Authorization" in request.headers]
    with odd.in_thread(tmp_path, "redirect-get=302") as server:  # to itself, as one that keeps its files elsewhere
        assert cache_of(server, "me:s3cret@").get(NARINFO) == TEXT
        assert all("Authorization" in request.headers for request in server.requests)


@pytest.mark.parametrize(
    "proxy", ["http://me:s3c/ret@h:1", "http://me:s3c#ret@h:1", "me:s3cret", "http://me:s3cret@[::1", "http://:s3cret@"]
)
def test_a_proxy_that_is_none_is_said_without_its_password(proxy: str) -> None:
    with pytest.raises(CacheError, match="http_proxy does not name a proxy") as caught:
        HttpCache(parse_cache_url("http://cache.example.org"), {"http_proxy": proxy})
    assert "s3c" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2:80",
        "2852039166",  # the first one as a number
        "0xa9.0xfe.0xa9.0xfe",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[fe80::1]",
        "168.63.129.16",
    ],
)
def test_no_cache_sends_us_to_where_this_machine_gets_its_credentials(tmp_path: Path, host: str) -> None:
    with odd.in_thread(tmp_path, "redirect-get=302", "redirect-put=307", f"to=http://{host}") as server:
        cache = cache_of(server)
        with pytest.raises(CacheError, match="a service for this machine alone"):
            cache.get(NARINFO)
        with pytest.raises(CacheError, match="a service for this machine alone"):
            cache.open(ARCHIVE)
        with pytest.raises(CacheError, match="a service for this machine alone"):
            cache.put(NARINFO, TEXT, "text/x-nix-narinfo")


def test_a_redirect_without_end_is_refused(tmp_path: Path) -> None:
    with odd.in_thread(tmp_path, "loop") as server:
        cache = cache_of(server)
        for do in (
            lambda: cache.get(NARINFO),
            lambda: cache.exists(ARCHIVE),
            lambda: cache.open(ARCHIVE),
            lambda: cache.put(NARINFO, TEXT, ""),
            lambda: cache.put(ARCHIVE, Pieces(), ""),
        ):
            server.requests.clear()
            with pytest.raises(CacheError, match=r"30[27]"):
                do()
            assert len(server.requests) <= 4 * 11


@pytest.mark.parametrize("mode", ["no-chunks=411", "no-chunks-close", "no-chunks=501", "no-chunks=400", "chunks-lost"])
def test_a_server_that_must_know_the_size_is_told_it(tmp_path: Path, mode: str) -> None:
    with odd.in_thread(tmp_path, mode) as server:
        cache = cache_of(server)
        for number in range(3):
            try:
                cache.put(f"nar/{number}", Pieces(), "application/x-nix-nar")
            except CacheBusy:  # it closed the connection, and its answer was lost with that
                cache.put(f"nar/{number}", Pieces(), "application/x-nix-nar")
        if mode != "no-chunks-close":
            assert len([put for put in server.asked("PUT") if "Transfer-Encoding" in put.headers]) == 1
    assert {(tmp_path / f"nar/{number}").read_bytes() for number in range(3)} == {LARGE}


def test_a_server_of_http_1_0_is_sent_no_chunks(tmp_path: Path) -> None:
    with odd.in_thread(tmp_path, "http10") as server:
        cache = cache_of(server)
        assert cache.get(INFO) is None
        cache.put(ARCHIVE, Pieces(), "")
        assert "Transfer-Encoding" not in server.asked("PUT")[0].headers
    assert (tmp_path / ARCHIVE).read_bytes() == LARGE


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_may_not_be_listed_is_not_there(tmp_path: Path, status: int) -> None:
    with odd.in_thread(tmp_path, f"missing={status}") as server:
        cache = cache_of(server)
        assert cache.get(NARINFO) is None
        assert cache.get_many([NARINFO]) == {NARINFO: None}
        assert not any(map(cache.exists, (NARINFO, ARCHIVE)))
        assert cache.open(ARCHIVE) is None
        if status in {401, 403}:
            with pytest.raises(CredentialsError, match="are the credentials right"):
                cache.get(INFO)
        else:
            assert cache.get(INFO) is None


@pytest.mark.parametrize("status", [400, 403, 405, 409, 412])
def test_what_cannot_be_replaced_and_is_there_is_no_failure(tmp_path: Path, status: int) -> None:
    with odd.in_thread(tmp_path, f"immutable={status}") as server:
        cache = cache_of(server)
        for _ in range(2):
            cache.put(ARCHIVE, Pieces(), "")
            cache.put("nar/small", TEXT, "")
            cache.put(NARINFO, TEXT, "")
        cache.put(NARINFO, TEXT.replace(b"nar/x", b"nar/y"), "")
        for another in (TEXT.replace(b"sha256:1", b"sha256:2"), TEXT + b"Sig: another-1:AA\n"):
            with pytest.raises((CacheError, CacheBusy)):
                cache.put(NARINFO, another, "")
    assert (tmp_path / NARINFO).read_bytes() == TEXT


@pytest.mark.parametrize(("status", "error"), [(423, CacheBusy), (409, CacheBusy), (503, CacheBusy), (403, CacheError)])
def test_a_refusal_of_what_is_not_there_is_raised(tmp_path: Path, status: int, error: type[Exception]) -> None:
    with odd.in_thread(tmp_path, f"locked={status}") as server:
        cache = cache_of(server)
        with pytest.raises(error, match=str(status)):
            cache.put(NARINFO, TEXT, "")
        cache.put(NARINFO, TEXT, "")


def test_a_small_file_of_any_size_is_not_taken_into_memory(tmp_path: Path) -> None:
    with odd.in_thread(tmp_path, "endless") as server:
        with pytest.raises(CacheError, match="larger than the 1 MB"):
            cache_of(server).get(INFO)
        assert cache_of(server).get_many([NARINFO]) == {}
