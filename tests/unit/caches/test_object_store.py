"""Buckets that are in another region, behind another host name, or may not be listed."""

import random
from pathlib import Path

import pytest

from nix_autocache.caches import signed_bucket
from nix_autocache.caches.http_status import INFO
from nix_autocache.caches.object_store import ObjectStoreCache
from nix_autocache.caches.opening import open_cache
from nix_autocache.caches.protocol import Access
from nix_autocache.errors import CacheBusy, CacheError, CredentialsError
from nix_autocache.nix.store import Nix
from nix_autocache.nix.store_url import parse_cache_url
from tests.harness import odd
from tests.harness.odd import Odd

GIVEN = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE00000000", "AWS_SECRET_ACCESS_KEY": "secret"}


def bucket(server: Odd, query: str = "", *, only_reads: bool = False, **environ: str) -> ObjectStoreCache:
    url = parse_cache_url(f"s3://bucket?endpoint={server.url}{query}")
    cache = open_cache(url, Access({**GIVEN, **environ}, Nix(Path("/")), None, only_reads=only_reads))
    assert isinstance(cache, ObjectStoreCache)
    return cache


@pytest.mark.parametrize("modes", [["region=eu-west-1"], ["region=eu-west-1", "region-in-text"]])
def test_a_bucket_of_another_region_is_refused_with_its_name(tmp_path: Path, modes: list[str]) -> None:
    with odd.in_thread(tmp_path, *modes) as server:
        cache = bucket(server)
        with pytest.raises(CacheError, match="s3://bucket is in eu-west-1, not us-east-1; write region=eu-west-1"):
            cache.get(INFO)
        with pytest.raises(CacheError, match="write region=eu-west-1"):
            cache.put(INFO, b"x", "text/plain")
        for right in (
            bucket(server, "&region=eu-west-1"),
            bucket(server, AWS_REGION="eu-west-1"),
            bucket(server, AWS_DEFAULT_REGION="eu-west-1"),
        ):
            assert right.get(INFO) is None


@pytest.mark.parametrize(("style", "works"), [("virtual", True), ("path", False), ("auto", False)])
def test_a_bucket_is_named_in_the_host_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, style: str, works: bool
) -> None:
    with odd.in_thread(tmp_path, "virtual=bucket") as server:
        monkeypatch.setenv("http_proxy", server.url)  # which knows all names
        url = parse_cache_url(f"s3://bucket?endpoint=http://s3.test&addressing-style={style}")
        cache = open_cache(url, Access(GIVEN, Nix(Path("/")), None))
        assert isinstance(cache, ObjectStoreCache)
        if works:
            cache.put("nix-cache-info", b"x", "text/plain")
            assert cache.get("nix-cache-info") == b"x"
            assert (tmp_path / "nix-cache-info").read_bytes() == b"x"
        else:
            with pytest.raises(CredentialsError, match="SecondLevelDomainForbidden"):
                cache.put("nix-cache-info", b"x", "text/plain")


@pytest.mark.parametrize("only_reads", [False, True])
def test_a_bucket_that_may_not_be_listed_has_not_what_is_refused(tmp_path: Path, only_reads: bool) -> None:
    with odd.in_thread(tmp_path, "missing=403") as server:
        cache = bucket(server, only_reads=only_reads)
        assert cache.get("a.narinfo") is None
        assert not cache.exists("a.narinfo")
        assert cache.open("nar/a") is None
        with pytest.raises(CredentialsError, match="are the credentials right"):
            cache.get(INFO)


@pytest.mark.parametrize("status", [403, 409, 412])
def test_what_cannot_be_replaced_and_is_there_is_no_failure(tmp_path: Path, status: int) -> None:
    with odd.in_thread(tmp_path, f"immutable={status}") as server:
        cache = bucket(server)
        for _ in range(2):
            cache.put("nar/a", b"x", "")
            cache.put("a.narinfo", b"x", "")


def test_a_small_file_of_any_size_is_not_taken_into_memory(tmp_path: Path) -> None:
    with odd.in_thread(tmp_path, "endless") as server:
        for cache in (bucket(server), bucket(server, only_reads=True)):
            for name in (INFO, "a.narinfo"):
                with pytest.raises(CacheError, match="larger than the 1 MB"):
                    cache.get(name)


@pytest.mark.parametrize("only_reads", [False, True])
def test_small_objects_are_read_together_on_few_connections(tmp_path: Path, only_reads: bool) -> None:
    objects = {f"{number}.narinfo": f"text {number}".encode() for number in range(20)}
    for name, text in objects.items():
        (tmp_path / "bucket").mkdir(exist_ok=True)
        (tmp_path / "bucket" / name).write_bytes(text)
    with odd.in_thread(tmp_path) as server:
        cache = bucket(server, only_reads=only_reads)
        assert cache.get_many([*objects, "gone.narinfo"]) == {**objects, "gone.narinfo": None}
        connections = {request.connection for request in server.requests}
        assert cache.get("3.narinfo") == b"text 3"
        assert cache.get("gone.narinfo") is None
        assert len(connections) == 1
        assert cache.together == 16, "a server that does not think"


def test_what_is_refused_to_a_signed_url_is_asked_for_in_another_way_before_it_is_pushed_again(tmp_path: Path) -> None:
    """As by a policy that allows signed headers only: who reads may take it for missing, who collects garbage not."""
    (tmp_path / "bucket").mkdir()
    names = [f"{number}.narinfo" for number in range(6)]
    for name in names:
        (tmp_path / "bucket" / name).write_bytes(b"there")
    with odd.in_thread(tmp_path, "refuse=403", "of=X-Amz-Signature") as server:
        cache = bucket(server)
        for _ in range(2):
            assert cache.get_many(names) == {}
        assert [cache.get(name) for name in (*names, "gone.narinfo")] == [b"there"] * 6 + [None]
        signed = [request for request in server.requests if "X-Amz-Signature" in request.path]
        assert len(signed) == 6, "it is not tried again"
        assert bucket(server, only_reads=True).get(names[0]) is None


def test_without_an_answer_nobody_is_asked_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore would wait as long again."""
    monkeypatch.setattr(signed_bucket, "QUESTION", 0.1)
    with odd.in_thread(tmp_path, "silent") as server:
        cache = bucket(server, only_reads=True)
        with pytest.raises(CacheBusy, match="no answer in time"):
            cache.get("a.narinfo")
        assert cache.get_many(["a.narinfo", "b.narinfo"]) == {}


def test_the_rest_of_an_archive_is_read_when_the_connection_breaks(tmp_path: Path) -> None:
    (tmp_path / "bucket/nar").mkdir(parents=True)
    archive = random.Random(0).randbytes(3_000_000)
    (tmp_path / "bucket/nar/a").write_bytes(archive)
    with odd.in_thread(tmp_path, "break-at=1000000") as server:
        content = bucket(server, only_reads=True).open("nar/a")
        assert content
        assert content.size == len(archive)
        assert b"".join(content.pieces) == archive
        assert len(server.asked("GET")) == 2
