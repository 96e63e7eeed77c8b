"""Archives of their own: shared by content, and never taken for another job's that is not there."""

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from nix_autocache.caches.actions.keys import keys_of_archive
from nix_autocache.caches.actions.service import BLOCK, Located
from nix_autocache.caches.actions.writer import Limits
from nix_autocache.caches.protocol import Archive
from nix_autocache.errors import CacheBusy, CacheError, StoreError
from tests.harness.actions import (
    Job,
    Repository,
    Stored,
    archive_name,
    content_of,
    narinfo,
    narinfo_name,
    opened,
    push,
    scope_of,
)
from tests.harness.waiting import wait_for

MAIN, PULL = scope_of("main"), scope_of("pull/1")
CONTENT = bytes(range(256)) * 100
NAME = archive_name(CONTENT)
KEYS = keys_of_archive(NAME)
LIMITS = Limits(big=20_000)


@dataclass
class Streamed(Archive):
    """As the uploader packs a path; it counts how often that is done."""

    content: bytes = CONTENT
    nar_size: int = len(CONTENT)
    times: int = 0
    breaks: bool = False

    def __iter__(self) -> Iterator[bytes]:
        self.times += 1
        yield self.content[:1000]
        if self.breaks:
            raise StoreError("changed on disk")
        yield self.content[1000:]


def put(job: Job, lane: int = 1, body: Streamed | None = None) -> None:
    cache = opened(job, lane, LIMITS)
    cache.put(NAME, body or Streamed(), "")
    cache.put(narinfo_name(1), narinfo(1, CONTENT), "")
    cache.seal()


def is_found(repository: Repository, lane: int = 1) -> bool:
    cache = opened(Job(repository, [MAIN]), lane)
    assert not cache.get(narinfo_name(1)) or content_of(cache, CONTENT) == CONTENT
    return bool(cache.get(narinfo_name(1)))


def test_it_is_an_entry_of_its_own_that_costs_three_calls() -> None:
    repository = Repository()
    job = Job(repository, [MAIN])
    put(job)
    assert repository.stored[0] == KEYS[0]
    assert [job.calls[method] for method in ("find", "reserve", "finish")] == [1 + 2 + 1, 2, 2], "and an index"
    assert is_found(repository)


def test_it_is_not_uploaded_again_where_it_can_be_read() -> None:
    repository = Repository()
    put(Job(repository, [MAIN]))
    pull = Job(repository, [PULL, MAIN])
    cache = opened(pull, 1, LIMITS)
    body = Streamed()
    cache.put(NAME, body, "")
    assert body.times == 1, "its size is compared"
    assert not pull.calls["reserve"]


def test_one_that_another_job_finishes_meanwhile_is_shared() -> None:
    repository = Repository()
    repository.taken.add((MAIN, KEYS[0]))
    job = Job(repository, [MAIN])
    cache = opened(job, 1, LIMITS)
    cache.put(NAME, Streamed(), "")
    cache.put(narinfo_name(1), narinfo(1, CONTENT), "")
    assert not cache.sealed(narinfo_name(1))
    repository.entries.append(Stored(MAIN, KEYS[0], CONTENT, 0))
    cache.seal()
    assert is_found(repository)
    assert KEYS[1] not in repository.stored


@pytest.mark.parametrize("burnt", [1, 3])
def test_one_that_was_never_finished_goes_up_under_another_key(burnt: int) -> None:
    repository = Repository()
    repository.taken |= {(MAIN, key) for key in KEYS[:burnt]}
    put(Job(repository, [MAIN]))
    assert repository.stored[0] == KEYS[burnt]
    assert is_found(repository)
    other = Job(repository, [MAIN])
    put(other, 2)
    assert repository.stored.count(KEYS[burnt]) == 1
    assert not [key for key in repository.stored if key in KEYS[burnt + 1 :]], "it is found under that key"


def test_where_all_keys_are_taken_seal_says_what_is_lost() -> None:
    repository = Repository()
    repository.taken |= {(MAIN, key) for key in KEYS}
    with pytest.raises(CacheError, match="taken"):
        put(Job(repository, [MAIN]))
    assert not is_found(repository)


def test_one_that_is_compressed_in_another_way_is_another_entry() -> None:
    repository = Repository(entries=[Stored(MAIN, KEYS[0], b"other", 0)], taken={(MAIN, KEYS[0])})
    put(Job(repository, [MAIN]))
    assert KEYS[1] in repository.stored
    assert is_found(repository)


def test_one_whose_making_fails_is_not_there() -> None:
    repository = Repository()
    cache = opened(Job(repository, [MAIN]), 1, LIMITS)
    with pytest.raises(StoreError):
        cache.put(NAME, Streamed(breaks=True), "")
    assert not cache.exists(NAME)
    cache.put(NAME, Streamed(), "")
    cache.put(narinfo_name(1), narinfo(1, CONTENT), "")
    cache.seal()
    assert is_found(repository), "under another key: the first is burnt"


class HeldJob(Job):
    """Its first pack is finished when it `goes_on`."""

    def __init__(self, repository: Repository) -> None:
        super().__init__(repository, [MAIN])
        self.goes_on = threading.Event()

    def called(self, method: str) -> None:
        super().called(method)
        if method == "finish" and self.calls["finish"] == 1:
            assert self.goes_on.wait(30)


def test_one_that_is_finished_while_a_pack_is_sealed_is_not_forgotten() -> None:
    """It was: the pack's entry replaced those of before, no index named the archive, and no seal said so."""
    repository = Repository()
    job = HeldJob(repository)
    cache = opened(job, 1, Limits(full=2000, big=20_000))
    push(cache, 2, b"x" * 2000)
    wait_for(lambda: job.calls["finish"] == 1, "the pack")
    cache.put(NAME, Streamed(), "")
    cache.put(narinfo_name(1), narinfo(1, CONTENT), "")
    job.goes_on.set()
    cache.seal()
    assert cache.sealed(narinfo_name(1))
    assert is_found(repository)


def test_one_that_cannot_be_made_again_is_lost_and_can_be_put_again() -> None:
    repository = Repository()
    repository.taken.add((MAIN, KEYS[0]))
    cache = opened(Job(repository, [MAIN]), 1, LIMITS)
    body = Streamed()
    cache.put(NAME, body, "")
    cache.put(narinfo_name(1), narinfo(1, CONTENT), "")
    push(cache, 2, b"small")
    body.breaks = True
    with pytest.raises(CacheError, match="changed on disk"):
        cache.seal()
    assert not cache.sealed(narinfo_name(1))
    assert cache.sealed(narinfo_name(2)), "it is not held up"
    body.breaks = False
    cache.put(NAME, body, "")
    cache.put(narinfo_name(1), narinfo(1, CONTENT), "")
    cache.seal()
    assert is_found(repository)


class BusyJob(Job):
    """Its next `busy` questions for a big archive are not answered."""

    busy = 0

    def find(self, keys: Sequence[str]) -> Located | None:
        if keys[0] == KEYS[0] and self.busy:
            self.busy -= 1
            raise CacheBusy("502")
        return super().find(keys)


def test_a_service_that_is_busy_for_a_moment_loses_none() -> None:
    repository = Repository()
    repository.taken.add((MAIN, KEYS[0]))
    job = BusyJob(repository, [MAIN])
    cache = opened(job, 1, LIMITS)
    cache.put(NAME, Streamed(), "")
    cache.put(narinfo_name(1), narinfo(1, CONTENT), "")
    job.busy = 2
    cache.seal()
    assert is_found(repository)


def test_one_of_many_blocks_is_sent_in_blocks_and_read_in_ranges() -> None:
    content = os.urandom(40 << 20)
    repository = Repository()
    cache = opened(Job(repository, [MAIN]), 1, LIMITS)
    cache.put(archive_name(content), Streamed(content, len(content)), "")
    cache.put(narinfo_name(2), narinfo(2, content), "")
    cache.seal()
    assert len(repository.entries[0].content) == 5 * BLOCK
    job = Job(repository, [MAIN])
    assert content_of(opened(job, 1), content) == content
    assert job.calls["stream"] == 3
