"""Of those who put the same object, one is told that it was first; and what is listed can be deleted."""

import threading
from pathlib import Path

from nix_autocache.caches.directory import open_directory
from nix_autocache.caches.object_store import ObjectStoreCache
from nix_autocache.caches.protocol import Access, Collectable
from nix_autocache.nix.store import Nix
from nix_autocache.nix.store_url import parse_cache_url

LOCK = "autocache/gc/lock"


def directory(path: Path) -> ObjectStoreCache:
    return open_directory(parse_cache_url(f"file://{path}"), Access({}, Nix(Path("/")), None))


def etag(cache: Collectable) -> str:
    return next(each.etag for each in cache.objects("autocache/gc") if each.name == LOCK)


def test_only_the_first_puts_a_new_object(tmp_path: Path) -> None:
    cache = directory(tmp_path)
    assert cache.put_if(LOCK, b"one", None)
    assert not cache.put_if(LOCK, b"two", None)
    assert cache.get(LOCK) == b"one"


def test_of_many_who_replace_an_object_one_succeeds(tmp_path: Path) -> None:
    cache = directory(tmp_path)
    assert cache.put_if(LOCK, b"old", None)
    seen, won = etag(cache), []
    threads = [
        threading.Thread(target=lambda word: won.append(word) if cache.put_if(LOCK, word, seen) else None, args=[word])
        for word in (b"one", b"two", b"three", b"four")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert cache.get(LOCK) == won[0]


def test_what_is_listed_is_deleted_and_what_is_missing_counts_as_deleted(tmp_path: Path) -> None:
    cache = directory(tmp_path)
    for name in ("nar/a", "nar/b", "nix-cache-info"):
        cache.put(name, b"text", "text/plain")
    assert {each.name: each.size for each in cache.objects("nar")} == {"nar/a": 4, "nar/b": 4}
    assert cache.delete(["nar/a", "nar/b", "nar/c"]) == {}
    assert [each.name for each in cache.objects()] == ["nix-cache-info"]


def test_what_cannot_be_deleted_is_named(tmp_path: Path) -> None:
    cache = directory(tmp_path)
    for name in ("nar/a", "x.narinfo/inside"):
        cache.put(name, b"text", "text/plain")
    failed = cache.delete(["nar/a", "x.narinfo"])  # a folder
    assert list(failed) == ["x.narinfo"]
    assert cache.get("nar/a") is None


def test_after_many_refusals_the_rest_is_not_tried(tmp_path: Path) -> None:
    """A role that may not delete would be asked for each of a million names."""
    cache = directory(tmp_path)
    names = [f"{number}.narinfo" for number in range(1000)]
    for name in names[:30]:
        (tmp_path / name).mkdir()
    failed = cache.delete(names)
    assert "not tried, since many others could not be deleted" in failed.values()
    assert set(names[:30]) <= set(failed)
