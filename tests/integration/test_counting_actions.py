"""The Actions cache over the wire, without a job: requests are counted, and each trouble ends in fewer hits."""

import random
from pathlib import Path

import pytest

from nix_autocache.caches.actions.cache import ActionsCache, open_actions
from nix_autocache.caches.protocol import Access
from nix_autocache.ci.lane import Lane
from nix_autocache.errors import CacheBusy, CacheError
from nix_autocache.nix.store import Nix
from nix_autocache.nix.store_url import parse_cache_url
from tests.harness.actions import TEMPORARY, content_of, narinfo_name, push
from tests.harness.actions_cache import CALLS, Actions

SCOPE = "0123456789abcdef"
PATHS = 300


def opened(actions: Actions, lane: int = 1) -> ActionsCache:
    lanes = (Lane(SCOPE, f"{lane:08x}"),)
    access = Access(actions.env(), Nix(Path("/nonexistent")), None, lanes=lanes, directory=TEMPORARY)
    return open_actions(parse_cache_url("gha://"), access)


def archive(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


def pushed(cache: ActionsCache, numbers: range, size: int = 1000) -> None:
    for number in numbers:
        assert cache.get(narinfo_name(number)) is None
        push(cache, number, archive(number, size), [number - 1] if number > numbers[0] else [])
    cache.seal()


def found(cache: ActionsCache, numbers: range, size: int = 1000) -> list[int]:
    """Those that are there; each that is has its archive."""
    there = []
    for number in reversed(numbers):
        try:
            if cache.get(narinfo_name(number)):
                assert content_of(cache, archive(number, size)) in {None, archive(number, size)}
                there.append(number)
        except (CacheBusy, CacheError):
            pass
    return there


def counted(actions: Actions) -> tuple[int, int, int]:
    """Calls of the service since the last time, of them creations, and requests for blobs."""
    calls = actions.control()["calls"]
    actions.control(calls={})
    others = sum(count for name, count in calls.items() if name not in CALLS)
    return sum(calls.get(name, 0) for name in CALLS), calls.get("CreateCacheEntry", 0), others


def test_a_cold_job_of_300_paths_and_90_mb_and_a_warm_one(actions: Actions) -> None:
    pushed(opened(actions), range(PATHS), 300_000)
    assert counted(actions) == (5, 1, 12)
    assert len(found(opened(actions), range(PATHS), 300_000)) == PATHS
    assert counted(actions) == (2, 0, 2 + 6)


def test_20_legs_that_end_together(actions: Actions) -> None:
    legs = [opened(actions, lane) for lane in range(20)]
    actions.control(lag=21)
    for lane, cache in enumerate(legs):
        pushed(cache, range(100 * lane, 100 * lane + 5))
    calls, creations, _ = counted(actions)
    assert calls <= 140
    assert creations <= 40
    for _ in range(50):  # until lookups have caught up
        opened(actions).get(narinfo_name(0))
    actions.control(lag=0)
    counted(actions)
    for lane in range(20):
        cache = opened(actions, lane)
        assert len(found(cache, range(100 * lane, 100 * lane + 5))) == 5
        cache.seal()
    calls, creations, _ = counted(actions)
    assert calls <= 80 + 60
    assert creations <= 20
    reader = opened(actions, 99)
    assert all(len(found(reader, range(100 * lane, 100 * lane + 5))) == 5 for lane in range(20))


@pytest.mark.parametrize(
    "trouble",
    [
        {"faults": [{"of": "GET blob", "times": 3, "status": 403, "after": 2}]},
        {"faults": [{"of": "GET blob", "times": 2, "cut": 10_000, "after": 2}]},
        {"faults": [{"of": "GET blob", "times": 1000, "whole": True}]},
        {"faults": [{"of": "GetCacheEntryDownloadURL", "times": 1, "status": 502}]},
        {"faults": [{"of": "GetCacheEntryDownloadURL", "times": 1, "status": 429, "retry_after": 1}]},
    ],
    ids=["expired", "cut", "no-ranges", "502", "429"],
)
def test_a_trouble_for_a_while_costs_a_hit_at_most(actions: Actions, trouble: dict[str, object]) -> None:
    pushed(opened(actions), range(20), 100_000)
    actions.control(**trouble)
    cache = opened(actions)
    assert len(found(cache, range(20), 100_000)) >= 19
    assert len(found(cache, range(20), 100_000)) == 20


@pytest.mark.parametrize(
    "trouble",
    [
        {"evict": ""},
        {"denied": ["read"]},
        {"faults": [{"of": "GetCacheEntryDownloadURL", "times": 1000, "status": 500}]},
        {"faults": [{"of": "GET blob", "times": 1000, "cut": 0}]},
        {"faults": [{"of": "GET blob", "times": 1000, "status": 418}]},
    ],
    ids=["evicted", "denied", "500", "cut", "418"],
)
def test_a_trouble_that_stays_is_a_job_without_hits(actions: Actions, trouble: dict[str, object]) -> None:
    pushed(opened(actions), range(3))
    actions.control(**trouble)
    assert found(opened(actions), range(3)) == []


def test_a_pack_that_was_evicted_takes_along_what_refers_to_it(actions: Actions) -> None:
    pushed(opened(actions), range(3))
    first = actions.control()["keys"][0]
    second = opened(actions)
    assert second.get(narinfo_name(2))
    push(second, 3, archive(3, 1000), [2])
    push(second, 4, archive(4, 1000))
    second.seal()
    actions.control(evict=first)
    assert found(opened(actions), range(5)) == [4]
