"""Uploads in the background: bounded in memory, tried again, and whole or not at all."""

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from nix_autocache.caches.actions.packs import Pack, Sender, begun
from nix_autocache.caches.actions.service import BLOCK
from nix_autocache.errors import CacheBusy, CacheError
from tests.harness.actions import Job, Repository, Reserved, scope_of
from tests.harness.waiting import wait_for

MAIN = scope_of("main")


def keys() -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"key-{next(numbers)}"


class SlowJob(Job):
    """Its blocks wait for `goes_on`."""

    def __init__(self) -> None:
        super().__init__(Repository(), [MAIN])
        self.goes_on = threading.Event()
        self.waiting = 0

    def reserve(self, key: str) -> Reserved | None:
        upload = super().reserve(key)
        return upload and SlowUpload(self, upload.key)


class SlowUpload(Reserved):
    def put(self, offset: int, block: bytes) -> None:
        assert isinstance(self.job, SlowJob)
        with self.job.lock:
            self.job.waiting += 1
        assert self.job.goes_on.wait(30)
        super().put(offset, block)


def test_at_most_four_blocks_are_in_memory_and_the_next_waits() -> None:
    job = SlowJob()
    sender = Sender(job)
    packs = [sender.pack(keys()), sender.pack(lambda: "other")]
    done = []

    def fill(pack: Pack) -> None:
        for _ in range(4):
            pack.append(bytes(BLOCK))
            done.append(pack)

    threads = [threading.Thread(target=fill, args=[pack], daemon=True) for pack in packs]
    for thread in threads:
        thread.start()
    wait_for(lambda: job.waiting == 4, "four blocks")
    assert len(done) <= 4
    assert all(thread.is_alive() for thread in threads if done.count(packs[threads.index(thread)]) < 4)
    job.goes_on.set()
    for thread in threads:
        thread.join(30)
    for pack in packs:
        pack.finish(b"end")
    assert [len(each.content) for each in job.repository.entries] == [4 * BLOCK + 3] * 2


def test_a_taken_key_is_another_key_and_not_for_ever() -> None:
    repository = Repository(taken={(MAIN, f"key-{number}") for number in range(3)})
    assert Sender(Job(repository, [MAIN])).pack(keys()).key == "key-3"
    repository.taken |= {(MAIN, f"key-{number}") for number in range(100)}
    with pytest.raises(CacheError, match="taken"):
        Sender(Job(repository, [MAIN])).pack(keys())


def test_after_a_block_was_refused_nothing_more_is_taken() -> None:
    job = Job(Repository(), [MAIN], troubles={"put": [CacheError("refused")]})
    pack = Sender(job).pack(keys())
    with pytest.raises(CacheError, match="refused"):
        pack.finish(b"x")
    with pytest.raises(CacheError, match="refused"):
        pack.append(b"x")
    assert job.repository.entries == []


def test_a_service_that_stays_busy_ends_the_pack() -> None:
    busy: list[Exception] = [CacheBusy("503")] * 1000
    job = Job(Repository(), [MAIN], troubles={"finish": busy})
    pack = Sender(job, longest=0.2).pack(keys())
    with pytest.raises(CacheBusy):
        pack.finish(b"x")


def test_what_is_made_early_is_a_block_and_what_raises_then_raises() -> None:
    made = []

    def pieces() -> Iterator[bytes]:
        for number in range(20):
            made.append(number)
            yield bytes(BLOCK // 4)
        raise ValueError("at the end")

    early = begun(pieces())
    assert len(made) == 4
    with pytest.raises(ValueError, match="at the end"):
        list(early)
    assert list(begun(b"x")) == [b"x"]
    assert list(begun(iter([b"a", b"b"]))) == [b"a", b"b"]
