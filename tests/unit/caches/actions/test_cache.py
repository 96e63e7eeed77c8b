"""The Actions cache: what one job puts others find, in few requests, and nothing of a job that failed."""

import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from nix_autocache.caches.actions import beginning, catalog
from nix_autocache.caches.actions.service import Located
from nix_autocache.caches.actions.writer import Limits
from nix_autocache.caches.retry import retrying
from nix_autocache.errors import CacheBusy, CacheError, ReadOnly, StoreError
from nix_autocache.nix import keys
from tests.harness.actions import (
    Job,
    Repository,
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


def archive(number: int, size: int = 1000) -> bytes:
    return bytes([number % 256]) * (size - 8) + number.to_bytes(8, "big")


def test_what_one_job_sealed_the_next_one_reads_in_few_calls() -> None:
    repository = Repository()
    cold = Job(repository, [MAIN])
    cache = opened(cold, 1)
    for number in range(300):
        assert cache.get(narinfo_name(number)) is None
        push(cache, number, archive(number), [number - 1] if number else [])
    cache.seal()
    assert sum(cold.calls[method] for method in ("find", "reserve", "finish")) <= 6
    assert cold.calls["reserve"] == 1
    warm = Job(repository, [MAIN])
    cache = opened(warm, 1)
    for number in range(300):
        assert cache.get(narinfo_name(number)) == narinfo(number, archive(number), [number - 1] if number else [])
        assert content_of(cache, archive(number)) == archive(number)
    assert cache.get(narinfo_name(300)) is None
    cache.seal()
    assert warm.calls["find"] <= 3
    assert not warm.calls["reserve"]
    assert warm.calls["stream"] == 1


def test_a_miss_costs_no_call() -> None:
    job = Job(Repository(), [MAIN])
    cache = opened(job, 1)
    for number in range(100):
        assert cache.get(narinfo_name(number)) is None
        assert not cache.exists(narinfo_name(number))
    assert job.calls.total() == 2


def test_a_pull_request_reads_its_base_and_writes_its_own() -> None:
    repository = Repository()
    main, pull = opened(Job(repository, [MAIN]), 1), opened(Job(repository, [PULL, MAIN]), 1)
    push(main, 1, archive(1))
    main.seal()
    push(pull, 2, archive(2), [1])
    pull.seal()
    again = opened(Job(repository, [PULL, MAIN]), 1)
    assert again.get(narinfo_name(1))
    assert again.get(narinfo_name(2))
    assert content_of(again, archive(1)) == archive(1)
    on_main = opened(Job(repository, [MAIN]), 1)
    assert on_main.get(narinfo_name(1))
    assert on_main.get(narinfo_name(2)) is None


def test_nothing_is_visible_to_others_before_it_is_sealed() -> None:
    repository = Repository()
    cache = opened(Job(repository, [MAIN]), 1)
    push(cache, 1, archive(1))
    assert cache.get(narinfo_name(1))
    assert cache.exists(archive_name(archive(1)))
    assert not cache.sealed(narinfo_name(1))
    assert opened(Job(repository, [MAIN]), 1).get(narinfo_name(1)) is None
    cache.seal()
    assert cache.sealed(narinfo_name(1))
    assert content_of(cache, archive(1)) == archive(1)
    assert opened(Job(repository, [MAIN]), 1).get(narinfo_name(1))


def test_a_full_pack_is_sealed_by_itself_and_costs_two_calls() -> None:
    repository = Repository()
    job = Job(repository, [MAIN])
    cache = opened(job, 1, Limits(full=10_000))
    for number in range(25):
        push(cache, number, archive(number), [number - 1] if number else [])
    wait_for(lambda: cache.sealed(narinfo_name(8)), "the first pack")
    found = opened(Job(repository, [MAIN]), 1)
    assert found.get(narinfo_name(8))
    cache.seal()
    assert (job.calls["reserve"], job.calls["finish"]) in {(3, 3), (4, 4)}
    reader = Job(repository, [MAIN])
    found = opened(reader, 1)
    assert all(found.get(narinfo_name(number)) for number in range(25))
    assert reader.calls["find"] <= 5


class HeldJob(Job):
    """Its first pack is finished when it `goes_on`."""

    def __init__(self, repository: Repository) -> None:
        super().__init__(repository, [MAIN])
        self.goes_on = threading.Event()

    def called(self, method: str) -> None:
        super().called(method)
        if method == "finish":
            assert self.goes_on.wait(30)


def test_a_narinfo_waits_for_the_pack_of_what_it_needs() -> None:
    """Archives go up in any order: here that of a reference is in a later pack, and the earlier one is sealed first."""
    repository = Repository()
    job = HeldJob(repository)
    cache = opened(job, 1, Limits(full=2000))
    cache.get(narinfo_name(0))
    push(cache, 0, archive(0, 2000))
    wait_for(lambda: job.calls["finish"] == 1, "the first pack")
    cache.put(archive_name(archive(2, 2000)), archive(2, 2000), "")
    push(cache, 1, archive(1))
    cache.put(narinfo_name(2), narinfo(2, archive(2, 2000), [1]), "")
    job.goes_on.set()
    wait_for(lambda: job.calls["finish"] == 2, "the second pack")
    wait_for(lambda: len(repository.entries) == 2, "the second pack")
    found = opened(Job(repository, [MAIN]), 1)
    assert [bool(found.get(narinfo_name(number))) for number in range(3)] == [True, False, False]
    cache.seal()
    found = opened(Job(repository, [MAIN]), 1)
    assert [bool(found.get(narinfo_name(number))) for number in range(3)] == [True, True, True]
    assert content_of(found, archive(2, 2000)) == archive(2, 2000)


def test_an_old_pack_is_sealed_by_itself() -> None:
    repository = Repository()
    cache = opened(Job(repository, [MAIN]), 1, Limits(age=0.2))
    push(cache, 1, archive(1))
    wait_for(lambda: cache.sealed(narinfo_name(1)), "the pack")
    assert opened(Job(repository, [MAIN]), 1).get(narinfo_name(1))


def test_an_archive_whose_making_fails_is_not_there_and_harms_no_other() -> None:
    repository = Repository()
    cache = opened(Job(repository, [MAIN]), 1)
    push(cache, 1, archive(1))

    def broken() -> Iterator[bytes]:
        yield b"x" * (9 << 20)
        raise StoreError("changed on disk")

    with pytest.raises(StoreError):
        cache.put(archive_name(archive(2)), broken(), "")
    with pytest.raises(CacheError, match="no longer"):
        cache.put(narinfo_name(2), narinfo(2, archive(2)), "")
    push(cache, 3, archive(3), [1])
    cache.seal()
    found = opened(Job(repository, [MAIN]), 1)
    assert [bool(found.get(narinfo_name(number))) for number in (1, 2, 3)] == [True, False, True]
    assert content_of(found, archive(3)) == archive(3)


def test_an_archive_of_many_blocks_is_read_as_it_was() -> None:
    repository = Repository()
    content = os.urandom(37 << 20)
    cache = opened(Job(repository, [MAIN]), 1)
    push(cache, 1, archive(1))
    pieces = [content[start : start + 100_000] for start in range(0, len(content), 100_000)]
    cache.put(archive_name(content), pieces, "")
    cache.put(narinfo_name(2), narinfo(2, content), "")
    cache.seal()
    reader = Job(repository, [MAIN], cut=20_000)
    assert content_of(opened(reader, 1), content) == content
    assert reader.calls["stream"] == 4, "three ranges, and one that broke off"


def test_a_lost_pack_takes_along_what_refers_to_it_and_seal_says_so() -> None:
    repository = Repository()
    job = Job(repository, [MAIN], troubles={"put": [CacheError("no")]})
    cache = opened(job, 1)
    push(cache, 1, archive(1))
    with pytest.raises(CacheError, match="no"):
        cache.seal()
    assert not cache.sealed(narinfo_name(1))
    assert cache.get(narinfo_name(1)) is None
    cache.put(archive_name(archive(2)), archive(2), "")
    with pytest.raises(CacheError, match="no longer"):
        cache.put(narinfo_name(2), narinfo(2, archive(2), [1]), "")
    push(cache, 1, archive(1))
    push(cache, 2, archive(2), [1])
    cache.seal()
    assert opened(Job(repository, [MAIN]), 1).get(narinfo_name(2))


def test_what_is_put_while_the_service_is_busy_is_sealed_later() -> None:
    repository = Repository()
    troubles: dict[str, list[Exception]] = {each: [CacheBusy("429", 0.01)] for each in ("reserve", "put", "finish")}
    cache = opened(Job(repository, [MAIN], troubles=troubles), 1)
    push(cache, 1, archive(1))
    cache.seal()
    assert opened(Job(repository, [MAIN]), 1).get(narinfo_name(1))


def test_a_job_that_may_not_write_is_told_at_the_first_archive() -> None:
    cache = opened(Job(Repository(), [MAIN], troubles={"reserve": [ReadOnly("no")]}), 1)
    with pytest.raises(ReadOnly):
        cache.put(archive_name(archive(1)), archive(1), "")
    cache.seal()


def test_a_service_that_refuses_to_be_read_is_asked_once() -> None:
    job = Job(Repository(), [MAIN], troubles={"find": [CacheError("denied")] * 2})
    cache = opened(job, 1)
    for number in range(10):
        with pytest.raises(CacheError):
            cache.get(narinfo_name(number))
    assert job.calls.total() <= 2
    push(cache, 1, archive(1))
    cache.seal()


def test_a_job_that_cannot_look_up_the_index_now_hides_no_older_one() -> None:
    """Its index would lack all that is there, and be the newest."""
    repository = Repository()
    first = opened(Job(repository, [MAIN]), 1)
    push(first, 1, archive(1))
    first.seal()
    job = Job(repository, [MAIN], troubles={"find": [CacheBusy("503")] * 1000})
    second = opened(job, 1, Limits(full=100))
    with suppress(CacheError):  # it may be lost before its narinfo is put
        push(second, 2, archive(2))
    wait_for(lambda: second.get_many([narinfo_name(2)]) == {}, "the pack is lost")
    assert opened(Job(repository, [MAIN]), 1).get(narinfo_name(1))


def test_a_service_that_is_busy_is_not_asked_by_each_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginning, "PATIENCE", 0.0)
    job = Job(Repository(), [MAIN], troubles={"find": [CacheBusy("503")] * 2})
    cache = opened(job, 1)
    for number in range(10):
        with pytest.raises(CacheBusy):
            cache.get(narinfo_name(number))
    assert job.calls.total() == 2
    with pytest.raises(CacheError, match="503"):  # nor by one path again and again, while a flush waits
        retrying(lambda: cache.get(narinfo_name(1)), threading.Event())
    monkeypatch.setattr(beginning, "PAUSE", 0.0)
    later = opened(job, 1)
    assert later.get(narinfo_name(1)) is None


def test_what_one_process_looked_up_the_other_does_not() -> None:
    repository = Repository()
    main, pull = opened(Job(repository, [MAIN]), 1), opened(Job(repository, [PULL, MAIN]), 1)
    push(main, 1, archive(1))
    main.seal()
    push(pull, 2, archive(2), [1])
    pull.seal()
    reader, writer = Job(repository, [PULL, MAIN]), Job(repository, [PULL, MAIN])
    known = opened(reader, 1).known()
    assert reader.calls["find"] == 4
    cache = opened(writer, 1)
    cache.learn(known)
    assert cache.get(narinfo_name(3)) is None
    assert not writer.calls
    assert [bool(cache.get(narinfo_name(number))) for number in (1, 2)] == [True, True]
    push(cache, 3, archive(3), [2])
    cache.seal()
    again = opened(Job(repository, [PULL, MAIN]), 1)
    assert [bool(again.get(narinfo_name(number))) for number in (1, 2, 3)] == [True] * 3


@pytest.mark.parametrize("known", ["", "[]", "{}", '{"own": "x", "foreign": "eA==", "unjoined": ""}', "[" * 100_000])
def test_what_no_process_of_ours_looked_up_is_looked_up(known: str) -> None:
    job = Job(Repository(), [MAIN])
    cache = opened(job, 1)
    cache.learn(known)
    assert cache.get(narinfo_name(1)) is None
    assert job.calls["find"] == 2


def test_a_job_that_may_not_write_asks_once() -> None:
    job = Job(Repository(), [MAIN], troubles={"reserve": [ReadOnly("no")]})
    cache = opened(job, 1)
    for number in range(3):
        with pytest.raises(ReadOnly):
            cache.put(archive_name(archive(number)), archive(number), "")
    assert job.calls["reserve"] == 1


def test_an_entry_that_is_gone_takes_along_all_that_refers_to_it() -> None:
    repository = Repository()
    first = opened(Job(repository, [MAIN]), 1)
    push(first, 1, archive(1))
    first.seal()
    second = opened(Job(repository, [MAIN]), 1)
    assert second.get(narinfo_name(1))
    push(second, 2, archive(2), [1])
    push(second, 3, archive(3))
    second.seal()
    repository.evict(repository.stored[0])
    found = opened(Job(repository, [MAIN]), 1)
    assert [bool(found.get(narinfo_name(number))) for number in (2, 1, 3)] == [False, False, True]
    assert content_of(found, archive(1)) is None


def test_an_entry_that_is_shorter_than_its_index_says_is_gone() -> None:
    repository = Repository()
    cache = opened(Job(repository, [MAIN]), 1)
    push(cache, 1, archive(1, 3000))
    push(cache, 2, archive(2), [1])
    cache.seal()
    cache = opened(Job(repository, [MAIN]), 1)
    assert cache.get(narinfo_name(2))
    repository.entries[0].content = repository.entries[0].content[:2000]
    assert content_of(cache, archive(1, 3000)) is None
    assert cache.get(narinfo_name(2)) is None


class SilentJob(Job):
    """It does not answer the question for a pack before `goes_on`, and then only the first."""

    def __init__(self, repository: Repository) -> None:
        super().__init__(repository, [MAIN])
        self.goes_on = threading.Event()

    def find(self, keys: Sequence[str]) -> Located | None:
        if keys[0].endswith("/"):
            return super().find(keys)
        self.called("find")
        assert self.goes_on.wait(30)
        raise CacheBusy("no answer in time")


def test_all_who_wait_for_an_answer_get_the_same_error() -> None:
    """Each asked anew when it was its turn: 25 questions of Nix took 25 times as long as one."""
    repository = Repository()
    for number in (1, 2):
        cache = opened(Job(repository, [MAIN]), 1)
        push(cache, number, archive(number))
        cache.seal()
    job = SilentJob(repository)
    cache = opened(job, 1)
    cache.known()
    begun = job.calls["find"]
    ended: list[str] = []

    def ask() -> None:
        try:
            cache.get(narinfo_name(1))
        except CacheBusy as error:
            ended.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: job.calls["find"] == begun + 1, "the question")
    job.goes_on.set()
    for thread in threads:
        thread.join()
    assert ended == ["no answer in time"] * 8
    assert job.calls["find"] < begun + 8


def test_a_clock_that_is_wrong_counts_only_until_the_next_job(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository()
    with monkeypatch.context() as wrong:
        wrong.setattr(catalog, "_now", lambda: 90_000_000_000)
        cache = opened(Job(repository, [MAIN]), 1)
        push(cache, 1, archive(1))
        cache.seal()
    cache = opened(Job(repository, [MAIN]), 1)
    push(cache, 2, archive(2))
    cache.seal()
    cache = opened(Job(repository, [MAIN]), 1)
    assert all(cache.get(narinfo_name(number)) for number in (1, 2))
    assert not cache.is_stale, "its lane's newest pack is known"


def test_an_entry_that_goes_meanwhile_is_noticed_when_it_is_read() -> None:
    repository = Repository()
    first = opened(Job(repository, [MAIN]), 1)
    push(first, 1, archive(1))
    first.seal()
    found = opened(Job(repository, [MAIN]), 1)
    assert found.get(narinfo_name(1))
    repository.evict(repository.stored[0])
    assert content_of(found, archive(1)) is None
    assert found.get(narinfo_name(1)) is None
    found.put(archive_name(archive(2)), archive(2), "")
    with pytest.raises(CacheError, match="no longer"):
        found.put(narinfo_name(2), narinfo(2, archive(2), [1]), "")


def test_what_is_gone_here_is_found_where_another_branch_has_it() -> None:
    repository = Repository()
    pull = opened(Job(repository, [PULL, MAIN]), 1)
    push(pull, 1, archive(1))
    pull.seal()
    pull = opened(Job(repository, [PULL, MAIN]), 1)
    push(pull, 2, archive(2))
    pull.seal()
    main = opened(Job(repository, [MAIN]), 1)
    push(main, 1, archive(1))
    main.seal()
    repository.evict(repository.stored[0])
    again = opened(Job(repository, [PULL, MAIN]), 1)
    assert again.get(narinfo_name(1))
    assert content_of(again, archive(1)) == archive(1)
    assert again.get(narinfo_name(2))


def test_what_an_entry_took_along_is_put_again() -> None:
    repository = Repository()
    first = opened(Job(repository, [MAIN]), 1)
    push(first, 1, archive(1))
    push(first, 2, archive(2), [1])
    first.seal()
    again = opened(Job(repository, [MAIN]), 1)
    again.learn(opened(Job(repository, [MAIN]), 1).known())
    repository.evict(repository.stored[0])
    assert again.get(narinfo_name(2)) is None
    push(again, 1, archive(1))
    push(again, 2, archive(2), [1])
    again.seal()
    assert opened(Job(repository, [MAIN]), 1).get(narinfo_name(2))


def test_what_leads_into_a_circle_is_not_found() -> None:
    """Whoever can write the cache can write one, and a Nix that is led into it aborts."""
    repository = Repository()
    forger = opened(Job(repository, [MAIN]), 1)
    for number, references in {1: [2], 2: [1], 3: [2], 4: [4], 5: [4]}.items():
        push(forger, number, archive(number), references)
    forger.seal()
    found = opened(Job(repository, [MAIN]), 1)
    assert [number for number in range(6) if found.get(narinfo_name(number))] == [4, 5]


def test_a_link_that_expired_is_asked_for_once_more() -> None:
    repository = Repository()
    first = opened(Job(repository, [MAIN]), 1)
    push(first, 1, archive(1))
    first.seal()
    job = Job(repository, [MAIN])
    found = opened(job, 1)
    assert found.get(narinfo_name(1))
    job.expired |= {f"{MAIN} {repository.stored[0]} {number}" for number in range(job.links + 1)}
    assert content_of(found, archive(1)) == archive(1)
    assert job.calls["find"] == 3


def test_without_a_directory_nothing_is_kept_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    repository = Repository()
    first = opened(Job(repository, [MAIN]), 1)
    push(first, 1, archive(1))
    first.seal()
    found = opened(Job(repository, [MAIN]), 1, directory=None)
    assert content_of(found, archive(1)) == archive(1)


def test_a_server_that_ignores_ranges_is_read_once() -> None:
    repository = Repository()
    first = opened(Job(repository, [MAIN]), 1)
    for number in range(40):
        push(first, number, archive(number, 1 << 20))
    first.seal()
    job = Job(repository, [MAIN], ignores_ranges=True)
    found = opened(job, 1)
    for number in range(40):
        assert content_of(found, archive(number, 1 << 20)) == archive(number, 1 << 20)
    assert job.calls["stream"] == 2, "its end, and all of it"


def test_lanes_that_end_together_find_their_own_and_are_joined_by_the_next() -> None:
    repository = Repository(lag=1)
    caches = [opened(Job(repository, [MAIN]), lane) for lane in range(4)]
    for number, cache in enumerate(caches):
        push(cache, number, archive(number))
    for cache in caches:
        cache.seal()
    repository.now, repository.lag = 2, 0
    for lane in range(4):
        assert opened(Job(repository, [MAIN]), lane).get(narinfo_name(lane))
    for lane in range(4):
        job = Job(repository, [MAIN])
        cache = opened(job, lane)
        cache.get(narinfo_name(lane))
        cache.seal()
    reader = Job(repository, [MAIN])
    found = opened(reader, 9)
    assert all(found.get(narinfo_name(number)) for number in range(4))
    quiet = opened(reader, 3)
    assert quiet.get(narinfo_name(0))
    assert not quiet.is_stale


def test_what_another_job_sealed_meanwhile_is_in_the_index() -> None:
    repository = Repository()
    first, second = opened(Job(repository, [MAIN]), 1), opened(Job(repository, [MAIN]), 2)
    assert first.get(narinfo_name(0)) is second.get(narinfo_name(0)) is None
    for number, cache in enumerate((first, second)):
        push(cache, number, archive(number))
        cache.seal()
    found = opened(Job(repository, [MAIN]), 3)
    assert [bool(found.get(narinfo_name(number))) for number in (0, 1)] == [True, True]


@pytest.mark.parametrize("settled", [600, -1])
def test_an_entry_that_is_not_found_yet_is_not_forgotten(settled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lookups lag: a pack may be found, and one that is older not. It is forgotten when it is old enough."""
    monkeypatch.setattr(catalog, "_SETTLED", settled)
    repository = Repository()
    first = opened(Job(repository, [MAIN]), 1)
    push(first, 1, archive(1))
    first.seal()
    second = opened(Job(repository, [MAIN]), 1)
    push(second, 2, archive(2))
    second.seal()
    repository.entries[0].at = 1
    third = opened(Job(repository, [MAIN]), 1)
    assert third.get(narinfo_name(1)) is None
    push(third, 3, archive(3))
    third.seal()
    repository.now = 1
    assert bool(opened(Job(repository, [MAIN]), 1).get(narinfo_name(1))) == (settled > 0)


def test_what_two_jobs_built_alike_is_one_archive() -> None:
    """The second compressed it in another way; its narinfo gets the place, the size and the hash of the first."""
    repository = Repository()
    first, second = opened(Job(repository, [MAIN]), 1), opened(Job(repository, [MAIN]), 2)
    push(first, 1, archive(1))
    name, other = archive_name(archive(1)), archive(1, 500)
    second.put(name, other, "")
    text = narinfo(2, other).decode().replace(archive_name(other), name)
    second.put(narinfo_name(2), text.encode(), "")
    first.seal()
    second.seal()
    found = opened(Job(repository, [MAIN]), 1)
    one, two = ((found.get(narinfo_name(number)) or b"").decode().splitlines() for number in (1, 2))
    assert one[1:5] == two[1:5], "URL, Compression, FileHash and FileSize"


def test_a_signature_is_added_without_another_upload() -> None:
    repository = Repository()
    first = opened(Job(repository, [MAIN]), 1)
    push(first, 1, archive(1))
    first.seal()
    key = keys.generate("ours-1")
    second = opened(Job(repository, [MAIN]), 1)
    assert second.get(narinfo_name(1)) == narinfo(1, archive(1))
    second.put(narinfo_name(1), narinfo(1, archive(1), key=key), "")
    second.seal()
    assert opened(Job(repository, [MAIN]), 1).get(narinfo_name(1)) == narinfo(1, archive(1), key=key)
    assert len(repository.entries[1].content) < 1000


def test_signatures_of_job_keys_are_not_stored() -> None:
    cache = opened(Job(Repository(), [MAIN]), 1)
    cache.put(archive_name(archive(1)), archive(1), "")
    cache.put(narinfo_name(1), narinfo(1, archive(1), key=keys.generate_job_key()), "")
    assert cache.get(narinfo_name(1)) == narinfo(1, archive(1))


def test_a_realisation_is_there_as_long_as_its_path() -> None:
    repository = Repository()
    name = f"realisations/sha256:{'a' * 64}!out.doi"
    text = b'{"dependentRealisations":{},"id":"x","outPath":"%032d-path","signatures":[]}' % 1
    first = opened(Job(repository, [MAIN]), 1)
    push(first, 1, archive(1))
    first.put(name, text, "")
    first.seal()
    assert (opened(Job(repository, [MAIN]), 1).get(name) or b"").strip() == text
    repository.evict(repository.stored[0])
    push(opened(Job(repository, [MAIN]), 1), 2, archive(2))
    assert opened(Job(repository, [MAIN]), 1).get(name) is None


def test_the_branch_takes_no_more_than_its_size_and_the_oldest_go() -> None:
    repository = Repository()
    for number in range(5):
        cache = opened(Job(repository, [MAIN]), 1, size=3500)
        push(cache, number, archive(number))
        cache.seal()
    found = opened(Job(repository, [MAIN]), 1)
    assert sum(bool(found.get(narinfo_name(number))) for number in range(5)) == 3
    assert found.get(narinfo_name(4))
    small = opened(Job(repository, [MAIN]), 1, size=500)
    push(small, 9, archive(9))
    with pytest.raises(CacheError, match="cache-size"):
        small.seal()
    assert not small.sealed(narinfo_name(9))


def test_what_has_no_place_is_not_stored() -> None:
    job = Job(Repository(), [MAIN])
    cache = opened(job, 1)
    cache.put("autocache/index/a/b", b"x", "")
    assert cache.get("autocache/index/a/b") is None
    assert cache.open("log/x.drv") is None
    for name, text in (
        (narinfo_name(1), b"<html>"),
        (narinfo_name(2), narinfo(1, archive(1))),
        ("realisations/x", b""),
    ):
        with pytest.raises(CacheError):
            cache.put(name, text, "")
    assert cache.get("nix-cache-info") == b"StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n"
    cache.seal()
    assert not job.calls["reserve"]


def test_the_days_of_use_are_written_down_when_they_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository()
    first = opened(Job(repository, [MAIN]), 1)
    push(first, 1, archive(1))
    first.seal()
    monkeypatch.setattr(catalog, "_STALE", -1)
    job = Job(repository, [MAIN])
    second = opened(job, 1)
    second.learn(opened(Job(repository, [MAIN]), 1).known())
    assert not second.is_stale
    second.use([narinfo_name(1)])
    assert second.is_stale
    assert not job.calls
    second.seal()
    assert (job.calls["reserve"], len(repository.entries)) == (1, 2)
    assert len(repository.entries[1].content) < 1000, "an index alone"
    assert opened(Job(repository, [MAIN]), 1).get(narinfo_name(1))


def test_a_service_that_takes_no_entry_now_holds_nobody_up_for_days_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository()
    first = opened(Job(repository, [MAIN]), 1)
    push(first, 1, archive(1))
    first.seal()
    monkeypatch.setattr(catalog, "_STALE", -1)
    job = Job(repository, [MAIN], troubles={"reserve": [CacheBusy("429", 40)]})
    second = opened(job, 1)
    assert second.get(narinfo_name(1))
    second.seal()
    assert (job.calls["reserve"], len(repository.entries)) == (1, 1), "it does not wait until the service takes it"
