"""What the ledger tells of a cache that seals: random graphs, seals, losses and kills in any order, and single cases.

The cache is the list of what was put, and how much of it is sealed. Loss takes all that is not.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.nix.narinfo import Uploaded
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.queue.entry import Entry
from nix_autocache.uploader import unsealed
from nix_autocache.uploader.ledger import Ledger
from nix_autocache.uploader.plan import Plan
from tests.harness.paths import info, path
from tests.harness.soak import seeds

Task = PathInfo | Uploaded


@pytest.fixture(autouse=True)
def always_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsealed, "_LOOK", 0.0)


@dataclass
class Cache:
    """Names of paths, in the order in which they were put."""

    put: list[str] = field(default_factory=list)
    sealed: int = 0

    def is_sealed(self, name: str) -> bool:
        return name in self.put[: self.sealed]

    def seal(self, count: int = 1 << 30) -> None:
        self.sealed = min(len(self.put), self.sealed + count)

    def lose(self) -> None:
        del self.put[self.sealed :]


def realisation(entry: Entry) -> Uploaded:
    return Uploaded(StorePath(f"{path(entry.name)}!out"), 0, b"", what="realised")


class Simulation:
    """A store with this graph, and entries of the queue that build one of its paths each."""

    def __init__(self, graph: list[list[int]], builds: list[int], schedule: random.Random) -> None:
        self.infos: dict[str, PathInfo] = {}
        for number, back in enumerate(graph):
            references = {path(str(number - each)) for each in back if number - each >= 0 < each}
            self.infos[path(str(number))] = info(str(number), *sorted(references))
        self.new = [Entry(path(f"{each}-{build}.drv").base, (path(str(build % len(graph))),)) for each, build in
                    enumerate(builds)]  # fmt: skip
        self.schedule = schedule
        self.cache = Cache()
        self.entries = tuple(self.new)
        self.pushed: Counter[str] = Counter()
        self.begin()

    def begin(self) -> None:
        """An uploader that knows nothing of the one before it."""
        self.ledger = Ledger(self.cache.is_sealed)
        self.taken: list[Entry] = []
        self.tasks: list[Task] = []

    def step(self) -> None:
        steps = [self.take, self.take, self.seal_itself, self.write]
        steps += [self.execute] * 8 if self.tasks else [self.seal, self.lose]
        steps += [self.kill] if self.schedule.random() < 0.1 else []
        self.schedule.choice(steps)()
        self.check_closed()

    def take(self) -> None:
        todo = [entry for entry in self.new if entry not in self.taken]
        if todo:
            entry = self.schedule.choice(todo)
            self.taken.append(entry)
            outputs = tuple(map(StorePath, entry.outputs))
            candidates = tuple(self.infos[each] for each in self.closure(entry) if each not in self.ledger.known)
            planned = Plan(
                entries=(entry,), outputs={entry.name: outputs}, candidates=candidates, settled=(), realised={}
            )
            infos, ready = self.ledger.admit(planned, {entry.name: [(realisation(entry), outputs[0])]})
            self.tasks += [*infos, *ready]

    def execute(self) -> None:
        task = self.tasks.pop(self.schedule.randrange(len(self.tasks)))
        if isinstance(task, Uploaded):
            assert self.references(task.path) <= {*self.cache.put}
            self.cache.put += [task.path] if task.path not in self.cache.put else []
            self.tasks += self.ledger.published(task)
        elif task.path in self.cache.put:
            self.tasks += self.ledger.present([task.path])
        else:
            self.tasks += self.ledger.uploaded(Uploaded(task.path, 7, b""))

    def seal_itself(self) -> None:
        self.cache.seal(self.schedule.randint(0, 3))

    def seal(self) -> None:
        self.cache.seal()
        self.ledger.sealed()

    def lose(self) -> None:
        """For good, or as far as this uploader waits for it: then the cache has it all the same."""
        if self.schedule.random() < 0.5:
            self.cache.lose()
        self.ledger.not_sealed("failed", "no room")
        self.write()
        assert self.ledger.unsealed == 0
        self.ledger.forget_failures()

    def kill(self) -> None:
        self.cache.lose()
        self.begin()

    def write(self) -> None:
        outcomes, finished = self.ledger.take_settled()
        for outcome in outcomes:
            assert "!" not in outcome.path
            if outcome.what != "failed":
                assert self.cache.is_sealed(outcome.path)
            self.pushed[outcome.path] += outcome.what == "pushed"
        for pending in finished:
            self.ledger.forget_entry(pending.entry.name)
            self.taken.remove(pending.entry)
            if not pending.reason:
                assert self.cache.is_sealed(realisation(pending.entry).path)
                assert all(self.cache.is_sealed(each) for each in self.closure(pending.entry))
                self.new.remove(pending.entry)

    def check_closed(self) -> None:
        seen = set(self.cache.put[: self.cache.sealed])
        assert all(self.references(each) <= seen for each in seen)

    def closure(self, entry: Entry) -> list[str]:
        found: list[str] = []
        todo: list[str] = [*entry.outputs]
        while todo:
            if (name := todo.pop()) not in found:
                found.append(name)
                todo += self.references(name)
        return found

    def references(self, name: str) -> set[str]:
        if name in self.infos:
            return {str(each) for each in self.infos[name].references}
        return {str(entry.outputs[0]) for entry in self.entries if realisation(entry).path == name}

    def end(self) -> None:
        """A flush in which all goes well."""
        while self.new:
            if not self.tasks and all(entry in self.taken for entry in self.new):
                self.seal()
            self.take()
            while self.tasks:
                self.execute()
            self.write()
        assert self.ledger.progress().waiting == 0
        assert self.cache.sealed == len(self.cache.put)


@pytest.mark.soak
@settings(max_examples=seeds(400))
@given(
    st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=8),
    st.lists(st.integers(0, 7), min_size=1, max_size=5),
    st.integers(0, 1 << 32),
)
@pytest.mark.slow
def test_any_order_of_seals_losses_and_kills(graph: list[list[int]], builds: list[int], seed: int) -> None:
    simulation = Simulation(graph, builds, random.Random(seed))
    for _ in range(60):
        simulation.step()
    simulation.end()
    assert max(simulation.pushed.values(), default=0) <= 1


def admitted(ledger: Ledger, *names: str) -> None:
    """An entry for each of these, which refer to nothing."""
    for name in names:
        entry = Entry(path(f"{name}.drv").base, (path(name),))
        planned = Plan(
            entries=(entry,),
            outputs={entry.name: (path(name),)},
            candidates=() if path(name) in ledger.known else (info(name),),
            settled=(),
            realised={},
        )
        ledger.admit(planned, {entry.name: []})


def outcomes(ledger: Ledger) -> list[tuple[str, str, int]]:
    return [(StorePath(each.path).name, each.what, each.bytes) for each in ledger.take_settled()[0]]


def test_what_was_pushed_before_a_seal_failed_and_is_found_there_was_pushed() -> None:
    """Where the cache was only busy, it has all that was put, and makes it visible at the next flush."""
    cache = Cache()
    ledger = Ledger(cache.is_sealed)
    admitted(ledger, "one")
    ledger.published(Uploaded(path("one"), 5, b""))
    ledger.not_sealed("failed", "busy")
    assert outcomes(ledger) == [("one", "failed", 0)]
    ledger.forget_failures()
    admitted(ledger, "one")
    ledger.present([path("one")])
    assert outcomes(ledger) == []
    ledger.sealed()
    assert outcomes(ledger) == [("one", "pushed", 5)]


def test_what_is_looked_for_again_before_it_is_sealed_was_pushed_once() -> None:
    cache = Cache()
    ledger = Ledger(cache.is_sealed)
    admitted(ledger, "one")
    ledger.published(Uploaded(path("one"), 5, b""))
    ledger.forget_settled()
    admitted(ledger, "one")
    ledger.present([path("one")])
    ledger.sealed()
    assert outcomes(ledger) == [("one", "pushed", 5)]
    assert ledger.unfinished() == set()


def test_what_others_see_already_is_told_at_once() -> None:
    ledger = Ledger(Cache([path("one")], 1).is_sealed)
    admitted(ledger, "one")
    ledger.present([path("one")])
    assert ledger.unsealed == 0
    assert outcomes(ledger) == [("one", "present", 0)]


def test_the_cache_is_not_asked_all_the_time_what_it_has_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsealed, "_LOOK", 3600.0)
    cache = Cache()
    ledger = Ledger(cache.is_sealed)
    admitted(ledger, "one", "two")
    ledger.published(Uploaded(path("one"), 5, b""))
    ledger.take_settled()
    cache.put, cache.sealed = [path("one")], 1
    assert outcomes(ledger) == []
    ledger.sealed()
    assert outcomes(ledger) == [("one", "pushed", 5)]
