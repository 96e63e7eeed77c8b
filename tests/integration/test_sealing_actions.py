"""The uploader and the Actions cache together: what is told, and what leaves the queue, is what the next job finds."""

from pathlib import Path

import pytest

from nix_autocache.caches.actions.cache import ActionsCache, open_actions
from nix_autocache.caches.protocol import Access
from nix_autocache.ci.lane import Lane
from nix_autocache.nix.store_url import parse_cache_url
from tests.harness.actions_cache import CALLS, READ, Actions
from tests.harness.draining import Draining, draining
from tests.harness.nix_daemon import FakeNix
from tests.harness.waiting import wait_for

LANE = Lane("0123456789abcdef", "01234567")
PATHS = {"base", *(f"path-{number}" for number in range(20))}


def opened(actions: Actions, directory: Path, scopes: dict[str, int] | None = None) -> ActionsCache:
    access = Access(actions.env(scopes), FakeNix(directory / "nix").nix, None, lanes=(LANE,))
    return open_actions(parse_cache_url("gha://"), access)


def built(drained: Draining) -> list[str]:
    """Builds are queued that share what they refer to; the paths of all."""
    base = drained.fake.add("base")
    drained.queued(*(drained.fake.add(name, [base]) for name in sorted(PATHS - {"base"})))
    return [base, *(drained.fake.path(name) for name in PATHS - {"base"})]


def published(drained: Draining, cache: ActionsCache) -> None:
    """The same, and they are in the cache."""
    names = [f"{path.rpartition('/')[2][:32]}.narinfo" for path in built(drained)]
    wait_for(lambda: all(cache.get(name) for name in names), "the narinfos")


def found(actions: Actions, drained: Draining, directory: Path) -> set[str]:
    """Names of the paths that the next job finds."""
    cache = opened(actions, directory)
    names = {name: drained.fake.path(name).rpartition("/")[2][:32] for name in PATHS}
    return {name for name, hash_part in names.items() if cache.get(f"{hash_part}.narinfo")}


def outcomes(drained: Draining) -> dict[str, str]:
    return {each.path.rpartition("/")[2][33:]: each.what for each in drained.queue.outcomes.recorded()}


def test_what_is_pushed_is_what_the_next_job_finds(actions: Actions, tmp_path: Path) -> None:
    cache = opened(actions, tmp_path)
    with draining(tmp_path, into=cache) as drained:
        published(drained, cache)
        assert found(actions, drained, tmp_path) == set()
        assert outcomes(drained) == {}
        actions.control(calls={})
        assert drained.flush()
        calls = actions.control()["calls"]
        assert sum(calls.get(method, 0) for method in CALLS) == 2, calls  # what is newest, and the end
        assert found(actions, drained, tmp_path) == PATHS
        assert outcomes(drained) == dict.fromkeys(PATHS, "pushed")


def test_a_killed_uploader_leaves_its_queue_to_the_flush(actions: Actions, tmp_path: Path) -> None:
    cache = opened(actions, tmp_path)
    with draining(tmp_path, into=cache) as drained:
        published(drained, cache)
    assert len([*drained.queue.names()]) == len(PATHS) - 1
    with draining(tmp_path, into=opened(actions, tmp_path)) as drained:
        assert drained.flush()
        assert found(actions, drained, tmp_path) == PATHS
    assert outcomes(drained) == dict.fromkeys(PATHS, "pushed")
    assert [*drained.queue.names()] == []


@pytest.mark.parametrize(
    "trouble",
    [
        {"unknown": 2},
        {"lost": 1},
        {"faults": [{"of": "CreateCacheEntry", "times": 2, "status": 429, "retry_after": 1}]},
        {"faults": [{"of": "PUT block", "times": 2, "status": 503}]},
    ],
    ids=["not-found", "answer-lost", "429", "503"],
)
def test_a_service_that_is_busy_for_a_while_gets_everything(
    actions: Actions, tmp_path: Path, trouble: dict[str, object]
) -> None:
    actions.control(**trouble)
    with draining(tmp_path, into=opened(actions, tmp_path)) as drained:
        built(drained)
        assert drained.flush()
        assert outcomes(drained) == dict.fromkeys(PATHS, "pushed")
        assert found(actions, drained, tmp_path) == PATHS


def test_a_pack_that_cannot_be_sealed_is_not_pushed_and_is_tried_again(actions: Actions, tmp_path: Path) -> None:
    cache = opened(actions, tmp_path)
    with draining(tmp_path, into=cache) as drained:
        published(drained, cache)
        actions.control(faults=[{"of": "FinalizeCacheEntryUpload", "times": 1, "status": 400}])
        assert drained.flush()
        assert found(actions, drained, tmp_path) == set()
        assert outcomes(drained) == dict.fromkeys(PATHS, "failed")
        assert len({*drained.failed().values()}) == 1
        assert drained.queue.failures() == len(PATHS) - 1
        assert drained.flush()
        assert outcomes(drained) == dict.fromkeys(PATHS, "pushed")
        assert found(actions, drained, tmp_path) == PATHS


def test_a_token_that_only_reads_fails_nothing(actions: Actions, tmp_path: Path) -> None:
    with draining(tmp_path, into=opened(actions, tmp_path, {"refs/heads/main": READ})) as drained:
        built(drained)
        assert drained.flush()
        assert outcomes(drained) == dict.fromkeys(PATHS, "refused")
        assert (drained.queue.failures(), [*drained.queue.names()]) == (0, [])
    assert actions.control()["keys"] == []
