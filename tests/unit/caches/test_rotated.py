"""A throwaway cache is read from this period's prefix, and where that has nothing, from the one before."""

import pytest

from nix_autocache.caches.protocol import Body
from nix_autocache.caches.rotated import RotatedCache
from nix_autocache.errors import CacheBusy
from tests.harness.object_cache import FaultyCache


class Bucket(FaultyCache):
    def put(self, name: str, body: Body, content_type: str) -> None:
        assert isinstance(body, bytes)
        self.objects[name] = body


def rotated() -> tuple[RotatedCache, Bucket, Bucket]:
    now, before = Bucket({"here": b"1", "both": b"2"}), Bucket({"both": b"3", "before": b"4"})
    return RotatedCache(now, before), now, before


def test_each_is_read_from_the_period_that_has_it_this_one_first() -> None:
    cache, _, before = rotated()
    names = ["here", "both", "before", "nowhere"]
    wanted = {"here": b"1", "both": b"2", "before": b"4", "nowhere": None}
    assert {name: cache.get(name) for name in names} == wanted
    assert cache.get_many(names) == wanted
    contents = {name: cache.open(name) for name in names}
    assert {name: found and b"".join(found.pieces) for name, found in contents.items()} == wanted
    assert {name: cache.exists(name) for name in names} == {name: text is not None for name, text in wanted.items()}
    assert not {"here", "both"} & set(before.asked)


def test_only_what_this_period_has_need_not_be_carried_over() -> None:
    for ask in ("get", "open", "get_many"):
        cache, _, _ = rotated()
        for name in ("here", "before", "nowhere"):
            getattr(cache, ask)([name] if ask == "get_many" else name)
        assert [cache.is_here(name) for name in ("here", "both", "before", "nowhere")] == [True, False, False, False]


def test_a_period_that_does_not_answer_is_not_an_absence() -> None:
    """The uploader takes a plain absence for an answer."""
    cache, now, before = rotated()
    before.faults["nowhere"] = "busy"
    assert "nowhere" not in cache.get_many(["nowhere"])
    with pytest.raises(CacheBusy):
        cache.get("nowhere")
    now.busy = True
    with pytest.raises(CacheBusy):
        cache.get("before")


def test_what_is_put_goes_into_this_period() -> None:
    cache, now, before = rotated()
    cache.put("new", b"5", "text/plain")
    assert ("new" in now.objects, "new" in before.objects) == (True, False)
