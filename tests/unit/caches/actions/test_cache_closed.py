"""Any jobs in any order, lookups that lag, evictions, kills between any two calls: what a reader finds is closed."""

import hashlib
import re
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from nix_autocache.caches.actions import catalog
from nix_autocache.caches.actions.cache import ActionsCache
from nix_autocache.caches.actions.writer import Limits
from nix_autocache.errors import CacheError
from nix_autocache.nix import base32
from tests.harness.actions import Job, Killed, Repository, narinfo_name, opened, push, scope_of
from tests.harness.soak import seeds

MAIN, PULL = scope_of("main"), scope_of("pull/1")
READABLE = {MAIN: [MAIN], PULL: [PULL, MAIN]}
PATHS = 10
LANES = 3
SMALL = Limits(full=2500)


def references(number: int) -> list[int]:
    """In this cache; 1000 and more are an upstream's. Jobs share some paths, and not others."""
    return sorted({number // 2, number // 3}) if number else []


def archive(number: int, variant: int) -> bytes:
    """Every fourth path is different in each build."""
    return f"{number} {variant if number % 4 == 0 else ''} ".encode() * (50 + 30 * number)


def build(cache: ActionsCache, number: int, variant: int) -> list[int]:
    """As the uploader: what is missing of a closure, references first. Returns all that is in the cache now."""
    there: list[int] = []
    for needed in references(number):
        there += build(cache, needed, variant)
    if not set(references(number)) <= set(there):
        return there
    if cache.get(narinfo_name(number)) is None:
        try:
            push(cache, number, archive(number, variant), [*references(number), 1000 + number])
        except CacheError:
            return there
        finally:
            join_threads()
    return [*there, number]


def join_threads() -> None:
    """Wait for what goes on in the background, so that the same steps have the same effects each time."""
    for thread in threading.enumerate():
        if thread.name in {"seal", "block"}:
            thread.join()


def seen(cache: ActionsCache) -> dict[int, str]:
    """What it answers, to questions in the order of Nix: what refers to others first."""
    found = {number: cache.get(narinfo_name(number)) for number in reversed(range(PATHS))}
    return {number: text.decode() for number, text in found.items() if text}


def assert_closed(cache: ActionsCache, *, readable: bool) -> dict[int, str]:
    found = seen(cache)
    for number, text in found.items():
        assert set(references(number)) <= found.keys(), f"{number} without {references(number)}"
        if readable:
            name, digest = re.findall(r"^URL: (.*)$|^FileHash: sha256:(.*)$", text, re.MULTILINE)
            content = cache.open(name[0])
            assert content, f"{name[0]} of {number} is missing"
            assert base32.encode(hashlib.sha256(b"".join(content.pieces)).digest()) == digest[1]
    return found


class Jobs(RuleBasedStateMachine):
    """Each lane has one job at a time. `sealed` is what a lane's jobs have sealed since something was evicted, `put` is
    what a running job has put, if it started later than that."""

    def __init__(self) -> None:
        super().__init__()
        self.repository = Repository()
        self.running: dict[tuple[str, int], tuple[Job, ActionsCache]] = {}
        self.put: dict[tuple[str, int], set[int]] = {}
        self.sealed: dict[tuple[str, int], set[int]] = {}
        self.started = 0

    def teardown(self) -> None:
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):  # of packs whose job was killed
                thread.cancel()

    lanes = st.tuples(st.sampled_from([MAIN, PULL]), st.integers(0, LANES - 1))

    @rule(
        lane=lanes,
        numbers=st.lists(st.integers(0, PATHS - 1), max_size=3),
        seals=st.booleans(),
        ends=st.booleans(),
    )
    def work(self, lane: tuple[str, int], numbers: list[int], seals: bool, ends: bool) -> None:
        if lane not in self.running:
            self.start(lane)
        cache = self.running[lane][1]
        try:
            for number in numbers:
                there = build(cache, number, self.started)
                if lane in self.put:
                    self.put[lane] |= set(there)
            if seals:
                self.seal(lane, cache)
        except Killed:
            ends = True
        if ends:
            del self.running[lane]

    def start(self, lane: tuple[str, int]) -> None:
        own = [each.at for each in self.repository.entries if f"/{lane[1]:08x}/" in each.key]
        self.repository.now = max([self.repository.now, *own])
        job = Job(self.repository, READABLE[lane[0]])
        self.running[lane] = job, opened(job, lane[1], SMALL)
        self.put[lane] = set()
        self.started += 1

    def seal(self, lane: tuple[str, int], cache: ActionsCache) -> None:
        sealed = self.put.get(lane, set())
        try:
            cache.seal()
            assert all(cache.sealed(narinfo_name(number)) for number in sealed)
        except CacheError:
            sealed = {number for number in sealed if cache.sealed(narinfo_name(number))}
        if lane in self.put:
            self.put[lane] = sealed
        self.sealed.setdefault(lane, set()).update(sealed)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), calls=st.integers(0, 8))
    def kill(self, data: st.DataObject, calls: int) -> None:
        self.running[data.draw(st.sampled_from(sorted(self.running)))][0].calls_left = calls

    @precondition(lambda self: self.running)
    @rule(data=st.data(), method=st.sampled_from(["reserve", "put", "finish"]))
    def refuse(self, data: st.DataObject, method: str) -> None:
        job, _ = self.running[data.draw(st.sampled_from(sorted(self.running)))]
        job.troubles.setdefault(method, []).append(CacheError("refused"))

    @precondition(lambda self: self.repository.entries)
    @rule(data=st.data())
    def evict(self, data: st.DataObject) -> None:
        self.repository.evict(data.draw(st.sampled_from(self.repository.stored)))
        self.sealed.clear()
        self.put.clear()

    @rule(ticks=st.integers(0, 2), lag=st.integers(0, 2))
    def wait(self, ticks: int, lag: int) -> None:
        self.repository.now += ticks
        self.repository.lag = lag

    @invariant()
    def is_closed_for_new_readers(self) -> None:
        for scope, lanes in READABLE.items():
            for lane in (0, 99):
                assert_closed(opened(Job(self.repository, lanes), lane), readable=True)
            assert scope

    @invariant()
    def is_closed_for_running_jobs(self) -> None:
        for lane, (_, cache) in [*self.running.items()]:
            try:
                assert_closed(cache, readable=False)
            except Killed:
                del self.running[lane]


class LanesAreKept(Jobs):
    """Where nothing was evicted, a lane finds what it has sealed, once lookups have caught up."""

    @invariant()
    def own_lane_is_found(self) -> None:
        now, self.repository.now = self.repository.now, self.repository.now + 10
        for (scope, lane), numbers in self.sealed.items():
            found = seen(opened(Job(self.repository, READABLE[scope]), lane))
            assert numbers <= found.keys(), f"lane {lane} lost {numbers - found.keys()}"
        self.repository.now = now


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # threads of a killed job
@pytest.mark.parametrize("settled", [0, 600])
def test_what_is_found_is_closed_at_every_instant(settled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`settled`: what is not found is forgotten at once, or may be an entry that lags."""
    monkeypatch.setattr(catalog, "_SETTLED", settled)
    machine = LanesAreKept if settled else Jobs
    run_state_machine_as_test(machine, settings=settings(max_examples=seeds(600), stateful_step_count=25))


@pytest.mark.soak
@settings(max_examples=seeds(1000))
@given(st.lists(st.tuples(st.integers(0, LANES - 1), st.integers(0, PATHS - 1), st.integers(0, 2)), max_size=12))
def test_lanes_converge(pushes: list[tuple[int, int, int]]) -> None:
    """Whatever the lanes missed of each other: after each has run once more, all see all."""
    repository = Repository()
    caches: dict[int, ActionsCache] = {}
    built: set[int] = set()
    for lane, number, lag in pushes:
        repository.lag = lag
        cache = caches.setdefault(lane, opened(Job(repository, [MAIN]), lane))
        built |= set(build(cache, number, lane))
        cache.seal()
        repository.now += 1
    repository.now, repository.lag = repository.now + 10, 0
    for cache in again(repository):
        cache.get(narinfo_name(0))
        cache.seal()
    assert all(built <= seen(cache).keys() for cache in again(repository))


def again(repository: Repository) -> Iterator[ActionsCache]:
    return (opened(Job(repository, [MAIN]), lane) for lane in range(LANES))
