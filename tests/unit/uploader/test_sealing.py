"""A cache that makes visible what was put only when it is sealed: nothing is told, or leaves the queue, before that."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nix_autocache.errors import CacheBusy, CacheError, CredentialsError, ReadOnly
from nix_autocache.nix.realisation import Realisation
from nix_autocache.system.dataclass import replace
from nix_autocache.uploader.nix_reading import NixReading
from nix_autocache.uploader.push import BinaryCache
from nix_autocache.uploader.pusher import Pusher
from tests.harness.draining import Draining, draining
from tests.harness.object_cache import IndexedCache, SealingCache
from tests.harness.paths import path
from tests.harness.waiting import wait_for

PATHS = {"base", "one", "two"}


@pytest.fixture
def cache() -> SealingCache:
    return SealingCache()


@pytest.fixture
def drained(tmp_path: Path, cache: SealingCache) -> Iterator[Draining]:
    with draining(tmp_path, into=cache) as made:
        yield made


def published(drained: Draining, cache: SealingCache) -> None:
    """Two builds are in the cache, with what they refer to, and nothing is sealed."""
    base = drained.fake.add("base")
    drained.queued(*(drained.fake.add(name, [base]) for name in ("one", "two")))
    wait_for(lambda: sum(name.endswith(".narinfo") for name in cache.unsealed()) == 3, "the narinfos")


def turned(drained: Draining) -> None:
    """The drain has begun to look for work once more."""
    since = time.monotonic()
    wait_for(lambda: time.monotonic() - drained.drain.silence > since, "the drain's next turn")


def outcomes(drained: Draining) -> dict[str, str]:
    found = [*drained.queue.outcomes.recorded()]
    return {each.path.rpartition("/")[2][33:]: each.what for each in found}


def lines(drained: Draining, what: str) -> Counter[str]:
    """How often each path was said to be that, by its name."""
    file = drained.queue.outcomes.path
    rows = [row for row in file.read_text().splitlines() if f'"outcome": "{what}"' in row] if file.exists() else []
    return Counter(row.partition('"path": "')[2].partition('"')[0].rpartition("/")[2][33:] for row in rows)


def entries(directory: Path) -> set[str]:
    return {each.name[33:].removesuffix(".drv") for each in directory.iterdir()}


def test_a_path_is_pushed_when_it_is_sealed(drained: Draining, cache: SealingCache) -> None:
    published(drained, cache)
    wait_for(lambda: drained.drain.progress().waiting == 3, "the last outcome")
    assert (drained.drain.progress().counts, drained.drain.progress().pushed_bytes) == ({}, 0)
    assert entries(drained.queue.new) == {"one", "two"}
    assert outcomes(drained) == {}
    assert drained.flush()
    assert cache.names() == PATHS
    assert entries(drained.queue.new) == set()
    assert lines(drained, "pushed") == Counter(PATHS)
    progress = drained.drain.progress()
    assert (progress.counts, progress.waiting) == ({"pushed": 3}, 0)
    assert progress.pushed_bytes == sum(len(body) for name, body in cache.visible.items() if name.startswith("nar/"))
    assert cache.sealings == 1


def test_what_the_cache_seals_by_itself_is_told_before_a_flush(drained: Draining, cache: SealingCache) -> None:
    published(drained, cache)
    cache.seal_first(2)
    wait_for(lambda: sum(lines(drained, "pushed").values()) == 2, "the outcomes of what is sealed")
    assert len(entries(drained.queue.new)) == 1
    assert drained.drain.progress().waiting == 1
    assert cache.sealings == 0
    assert drained.flush()
    assert lines(drained, "pushed") == Counter(PATHS)


def test_a_flush_that_finds_nothing_new_seals_nothing(drained: Draining, cache: SealingCache) -> None:
    assert drained.flush()
    published(drained, cache)
    assert drained.flush()
    drained.queued(drained.fake.path("one"), name=f"{drained.fake.path('again').rpartition('/')[2]}.drv")
    assert drained.flush()
    assert cache.sealings == 1


def test_what_a_seal_loses_is_not_pushed_and_is_tried_again(drained: Draining, cache: SealingCache) -> None:
    published(drained, cache)
    cache.troubles = [CacheError("no room")]
    assert drained.flush()
    assert cache.names() == set()
    assert outcomes(drained) == dict.fromkeys(PATHS, "failed")
    assert {*drained.failed().values()} == {"the cache took it and did not make it visible: no room"}
    assert (entries(drained.queue.new), entries(drained.queue.failed)) == (set(), {"one", "two"})
    assert drained.drain.progress().counts == {"failed": 3}
    assert drained.flush()
    assert cache.names() == PATHS
    assert outcomes(drained) == dict.fromkeys(PATHS, "pushed")
    assert lines(drained, "pushed") == Counter(PATHS)
    assert entries(drained.queue.failed) == set()


def test_what_was_sealed_before_a_seal_fails_is_pushed(drained: Draining, cache: SealingCache) -> None:
    published(drained, cache)
    cache.goes_on.clear()
    cache.troubles = [CacheError("no room")]
    drained.drain.flush(0.0, lambda _: None)
    assert cache.sealing.wait(10)
    cache.seal_first(2)
    cache.goes_on.set()
    wait_for(lambda: sum(lines(drained, "failed").values()) == 1, "the path that is lost")
    assert sum(lines(drained, "pushed").values()) == 2
    assert {"base", *lines(drained, "pushed")} == cache.names()


def test_a_busy_cache_is_sealed_later(drained: Draining, cache: SealingCache) -> None:
    published(drained, cache)
    cache.troubles = [CacheBusy("429", 0.1), CacheBusy("503")]
    assert drained.flush()
    assert cache.sealings == 3
    assert cache.names() == PATHS
    assert lines(drained, "pushed") == Counter(PATHS)
    assert drained.failed() == {}


def test_a_flush_ends_by_its_deadline_though_the_seal_hangs(drained: Draining, cache: SealingCache) -> None:
    published(drained, cache)
    cache.goes_on.clear()
    assert not drained.flush(0.5)
    assert drained.drain.progress().result(drained=False).left == 3
    assert outcomes(drained) == {}
    cache.goes_on.set()
    assert drained.flush()
    assert lines(drained, "pushed") == Counter(PATHS)
    assert cache.sealings == 1


def test_an_uploader_that_is_killed_before_the_seal_has_lost_nothing(tmp_path: Path, cache: SealingCache) -> None:
    with draining(tmp_path, into=cache) as drained:
        published(drained, cache)
    assert outcomes(drained) == {}
    assert entries(drained.queue.new) == {"one", "two"}
    fresh = SealingCache(visible=dict(cache.visible))
    with draining(tmp_path, into=fresh) as drained:
        assert drained.flush()
    assert fresh.names() == PATHS
    assert lines(drained, "pushed") == Counter(PATHS)


def test_one_that_is_killed_while_it_seals_has_lost_nothing(tmp_path: Path, cache: SealingCache) -> None:
    """And what it sealed all the same is found there."""
    with draining(tmp_path, into=cache) as drained:
        published(drained, cache)
        cache.goes_on.clear()
        assert not drained.flush(0.5)
    cache.goes_on.set()
    wait_for(lambda: not cache.unsealed(), "the seal")
    assert outcomes(drained) == {}
    with draining(tmp_path, into=SealingCache(visible=dict(cache.visible))) as drained:
        assert drained.flush()
    assert outcomes(drained) == dict.fromkeys(PATHS, "signed")  # there, without a signature by the second one's key
    assert entries(drained.queue.new) == set()


def test_credentials_that_a_seal_does_not_take_leave_the_queue_to_newer_ones(
    tmp_path: Path, cache: SealingCache
) -> None:
    with draining(tmp_path, into=cache) as drained:
        published(drained, cache)
        cache.troubles = [CredentialsError("the token is no longer taken")]
        assert not drained.flush()
        drained.thread.join(10)
        assert drained.drain.refused == "the token is no longer taken"
        assert drained.drain.progress().waiting == 3
        assert (entries(drained.queue.new), entries(drained.queue.failed)) == ({"one", "two"}, set())
        assert outcomes(drained) == {}
    fresh = SealingCache()
    with draining(tmp_path, into=fresh) as drained:
        assert drained.flush()
    assert fresh.names() == PATHS


def test_a_cache_that_only_lets_read_fails_nothing(drained: Draining, cache: SealingCache) -> None:
    cache.refuses = ReadOnly("this token may not write")
    base = drained.fake.add("base")
    drained.queued(*(drained.fake.add(name, [base]) for name in ("one", "two")))
    assert drained.flush()
    assert outcomes(drained) == dict.fromkeys(PATHS, "refused")
    assert (entries(drained.queue.new), entries(drained.queue.failed)) == (set(), set())
    assert cache.sealings == 0


def test_one_that_says_so_only_when_it_seals_fails_nothing_either(drained: Draining, cache: SealingCache) -> None:
    published(drained, cache)
    cache.troubles = [ReadOnly("this token may not write")]
    assert drained.flush()
    assert outcomes(drained) == dict.fromkeys(PATHS, "refused")
    assert (entries(drained.queue.new), entries(drained.queue.failed)) == (set(), set())


def test_what_refers_to_something_lost_waits_for_it(drained: Draining, cache: SealingCache) -> None:
    """It was built while the cache was being sealed, and is not begun before it is known what became of that."""
    published(drained, cache)
    cache.goes_on.clear()
    cache.troubles = [CacheError("no room")]
    drained.drain.flush(0.0, lambda _: None)
    assert cache.sealing.wait(10)
    before = {*cache.found}
    drained.queued(drained.fake.add("later", [drained.fake.path("one")]), drained.fake.add("alone"))
    for _ in range(2):
        turned(drained)
    assert {*cache.found} == before
    cache.goes_on.set()
    wait_for(lambda: "later" in lines(drained, "failed"), "what refers to it")
    assert cache.names() <= {"alone"}
    assert drained.flush()
    assert cache.names() == {*PATHS, "later", "alone"}
    assert lines(drained, "pushed") == Counter({*PATHS, "later", "alone"})


def test_a_second_build_of_a_path_waits_for_the_seal_as_the_first(drained: Draining, cache: SealingCache) -> None:
    published(drained, cache)
    wait_for(lambda: drained.drain.progress().waiting == 3, "the last outcome")
    drained.queued(drained.fake.path("one"), name=f"{drained.fake.path('again').rpartition('/')[2]}.drv")
    drained.queued(drained.fake.add("three"))
    wait_for(lambda: drained.drain.progress().waiting == 4, "the entry after it")
    assert entries(drained.queue.new) == {"one", "two", "three", "again"}
    assert drained.flush()
    assert entries(drained.queue.new) == set()


def test_that_a_derivation_is_sealed_says_nothing_of_its_realisation(tmp_path: Path, cache: SealingCache) -> None:
    derivation = path("ca.drv")
    cache.visible[f"{derivation.hash_part}.narinfo"] = b""
    asked: list[bool] = []

    def wrapped(pusher: Pusher) -> Pusher:
        realised = pusher.realise(Realisation(derivation, "out", f"sha256:{'0' * 64}!out", path("ca")))
        assert realised
        asked.extend([pusher.sealed(derivation), pusher.sealed(realised.path)])
        return pusher

    with draining(tmp_path, into=cache, wrapped=wrapped):
        assert asked == [True, False]


class NeverAsked:
    """A pusher that is not asked what is sealed, and not told to seal."""

    def __init__(self, pusher: Pusher) -> None:
        assert isinstance(pusher, BinaryCache)
        self._pusher = pusher

    def __getattr__(self, name: str) -> object:
        assert name not in {"seal", "sealed"}
        return getattr(self._pusher, name)


def test_other_caches_are_asked_nothing_of_this(tmp_path: Path) -> None:
    with draining(tmp_path, wrapped=NeverAsked) as drained:  # type: ignore[arg-type]
        drained.queued(drained.fake.add("one"))
        assert drained.flush()
        assert drained.pushed() == {"one"}


def test_a_cache_that_seals_gets_no_run_index(tmp_path: Path, cache: SealingCache) -> None:
    def indexing(pusher: Pusher) -> Pusher:
        assert isinstance(pusher, BinaryCache)
        return replace(pusher, index="autocache/index/0123456789abcdef/01234567")

    with draining(tmp_path, into=cache, wrapped=indexing) as drained:
        drained.queued(drained.fake.add("one"))
        assert drained.flush()
    assert not any(name.startswith("autocache/") for name in cache.found)


def reading(used: bool = True) -> NixReading:
    made = NixReading()
    made.hear(b'{"known": "what was looked up"}')
    if used:
        made.note({f"{path('fetched').hash_part}.narinfo": "a narinfo"})
    return made


@contextmanager
def warm(directory: Path, cache: IndexedCache, heard: NixReading) -> Iterator[Draining]:
    """The uploader of a job whose Nix has read."""

    def with_reading(pusher: Pusher) -> Pusher:
        assert isinstance(pusher, BinaryCache)
        return replace(pusher, reading=heard)

    with draining(directory, into=cache, wrapped=with_reading) as drained:
        yield drained


def test_a_job_that_built_nothing_seals_what_is_stale_once(tmp_path: Path) -> None:
    cache = IndexedCache()
    with warm(tmp_path, cache, reading()) as drained:
        for _ in range(3):
            assert drained.flush()
            wait_for(lambda: cache.sealings == 1, "the seal")
    assert cache.learnt == ["what was looked up"]


def test_a_cache_that_is_not_stale_is_not_sealed(tmp_path: Path) -> None:
    cache = IndexedCache()
    with warm(tmp_path, cache, reading(used=False)) as drained:
        for _ in range(3):
            assert drained.flush()
    assert cache.sealings == 0


def test_what_was_pushed_is_sealed_with_what_was_used(tmp_path: Path) -> None:
    cache = IndexedCache()
    with warm(tmp_path, cache, reading()) as drained:
        drained.queued(drained.fake.add("one"))
        assert drained.flush()
    assert (cache.sealings, cache.names()) == (1, {"one"})
    assert f"{path('fetched').hash_part}.narinfo" in cache.used


@pytest.mark.parametrize("trouble", [CacheError("no"), CredentialsError("no"), ReadOnly("no"), OSError("a bug")])
def test_a_stale_cache_that_cannot_be_sealed_fails_nothing(tmp_path: Path, trouble: Exception) -> None:
    cache = IndexedCache(troubles=[trouble])
    with warm(tmp_path, cache, reading()) as drained:
        assert drained.flush()
        wait_for(lambda: cache.sealings == 1, "the seal")
        drained.queued(drained.fake.add("one"))
        assert drained.flush()
        assert outcomes(drained) == {"one": "pushed"}
        assert drained.drain.refused == ""


def test_a_flush_does_not_wait_for_a_stale_cache_beyond_its_deadline(tmp_path: Path) -> None:
    cache = IndexedCache()
    cache.goes_on.clear()
    with warm(tmp_path, cache, reading()) as drained:
        assert drained.flush(1.0)
        assert cache.sealing.wait(10)
        cache.goes_on.set()
        drained.queued(drained.fake.add("one"))
        assert drained.flush()
        assert cache.names() == {"one"}
