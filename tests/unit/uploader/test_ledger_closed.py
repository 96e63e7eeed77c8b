"""Random graphs through plan and ledger: the cache is closed at every instant, and every path is settled once.

The cache is a set. What becomes of a path there is its fate, part of its name; when, is up to a random schedule.
"""

import random
import re
import sys
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.nix.narinfo import Uploaded, fingerprint
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.queue.entry import Entry
from nix_autocache.queue.outcomes import Outcome
from nix_autocache.uploader.graph import VISIBLE
from nix_autocache.uploader.ledger import Ledger
from nix_autocache.uploader.plan import Policy, plan
from nix_autocache.uploader.vouching import Vouching
from tests.harness.paths import Known, info, path
from tests.harness.soak import seeds

# Most paths are pushed; the last three are known when they are planned.
FATES: Final = ("pushed", "pushed", "pushed", "present", "refused", "unpublished", "upstream", "excluded", "absent")

Node = tuple[str, list[int]]
"""A path's fate, and how far before it in the graph the paths are that it refers to; 0 is itself."""
Task = PathInfo | Uploaded
"""An archive to bring, or a narinfo to publish."""


@dataclass
class Cache:
    """The paths that can be read there, and in what order ours were published."""

    visible: set[str] = field(default_factory=set)
    published: list[str] = field(default_factory=list)


class Simulation:
    """A store with this graph, and builds of which each has some of the paths as outputs."""

    def __init__(self, graph: list[Node], builds: list[list[int]]) -> None:
        names = [f"{number}-{fate}" for number, (fate, _) in enumerate(graph)]
        self.infos = {
            path(names[number]): info(names[number], *(path(names[max(0, number - each)]) for each in back))
            for number, (_, back) in enumerate(graph)
        }
        self.entries = [
            Entry(path(f"{number}.drv").base, tuple(path(names[each % len(names)]) for each in outputs))
            for number, outputs in enumerate(builds)
        ]
        self.ledger = Ledger()
        self.cache = Cache()
        self._store = Known(*(each for each in self.infos.values() if fate(each.path) != "absent"))
        self._policy = Policy(
            upstreams=(),
            exclude=re.compile("-excluded$"),
            vouching=Vouching(began=0, trusted=None),
            elsewhere={each.path: fingerprint(each) for each in self.infos.values() if fate(each.path) == "upstream"},
        )

    def admit(self, entries: list[Entry]) -> list[Task]:
        """Each build has a realisation of its first output."""
        made = plan(entries, self._store, self._policy, self.ledger.known)
        self.cache.visible |= {outcome.path for outcome in made.settled if outcome.what == "upstream"}
        realised = {
            name: [(Uploaded(StorePath(f"{name}!out"), 0, b"", what="realised"), outputs[0])]
            for name, outputs in made.outputs.items()
        }
        infos, ready = self.ledger.admit(made, realised)
        return [*infos, *ready]

    def execute(self, task: Task) -> list[Task]:
        """Do what a worker does, and return what it is told to do next."""
        if isinstance(task, Uploaded):
            return [*self._publish(task)]
        if fate(task.path) == "present":
            self.cache.visible.add(task.path)
            return [*self.ledger.present([task.path])]
        if fate(task.path) == "refused":
            return [*self.ledger.failed(task.path, "refused")]
        return [*self.ledger.uploaded(Uploaded(task.path, 1, b""))]

    def _publish(self, uploaded: Uploaded) -> list[Uploaded]:
        if fate(uploaded.path) == "unpublished":
            return self.ledger.failed(uploaded.path, "unpublished")
        assert self.references(uploaded.path) <= self.cache.visible, "closed at every instant"
        self.cache.visible.add(uploaded.path)
        self.cache.published.append(uploaded.path)
        return self.ledger.published(uploaded)

    def references(self, name: str) -> set[str]:
        if name.endswith("!out"):
            [entry] = [entry for entry in self.entries if name == f"{entry.name}!out"]
            return {entry.outputs[0]}
        return {str(each) for each in self.infos[StorePath(name)].references if each != name}

    def closure(self) -> set[str]:
        found: set[str] = set()
        todo: list[str] = [output for entry in self.entries for output in entry.outputs]
        while todo:
            if (name := todo.pop()) not in found:
                found.add(name)
                todo += self.references(name) if fate(name) != "absent" else ()
        return found

    def check(self) -> None:
        """All is settled, and rightly."""
        settled, finished = self.ledger.take_settled()
        outcomes = {outcome.path: outcome for outcome in settled}
        assert sorted(outcomes) == sorted(outcome.path for outcome in settled) == sorted(self.closure()), "each once"
        for outcome in settled:
            self._check_outcome(outcome, outcomes)
        assert max(Counter(self.cache.published).values(), default=1) == 1
        assert {name for name in self.cache.published if "!" not in name} == {
            outcome.path for outcome in settled if outcome.what == "pushed"
        }
        assert sorted(pending.entry.name for pending in finished) == sorted(entry.name for entry in self.entries)
        for pending in finished:
            failed = any(outcomes[output].what == "failed" for output in pending.entry.outputs)
            assert bool(pending.reason) == failed
            is_realised = outcomes[pending.entry.outputs[0]].what in VISIBLE
            assert (f"{pending.entry.name}!out" in self.cache.published) == is_realised
        assert self.ledger.in_work == 0
        assert self.ledger.unfinished() == set()
        assert self.ledger.changed.is_set() or not self.cache.published
        assert self.ledger.progress().counts == Counter(outcome.what for outcome in settled)

    def _check_outcome(self, outcome: Outcome, outcomes: dict[str, Outcome]) -> None:
        """A path is missing for its own sake, or because of one that it refers to; else all of these are visible."""
        if outcome.what == "pushed":
            assert all(outcomes[each].what in VISIBLE for each in self.references(outcome.path))
        elif outcome.what in VISIBLE:
            assert fate(outcome.path) == outcome.what
        elif outcome.reason.startswith("refers to "):
            cause, _, reason = outcome.reason.removeprefix("refers to ").partition(": ")
            assert (outcomes[cause].what, outcomes[cause].reason) == (outcome.what, reason)
            assert any(
                each == cause or outcomes[each].reason == outcome.reason for each in self.references(outcome.path)
            )
        else:
            own = {"refused": "refused", "unpublished": "unpublished", "excluded": "excluded by", "absent": "it is not"}
            assert outcome.reason.startswith(own[fate(outcome.path)])


def fate(name: str) -> str:
    return name.rpartition("-")[2]


def run(simulation: Simulation, schedule: random.Random) -> None:
    """Admit entries and execute tasks, one at a time in random order."""
    entries, tasks = list(simulation.entries), list[Task]()
    while entries or tasks:
        if entries and (not tasks or schedule.random() < 0.2):
            count = schedule.randint(1, len(entries))
            tasks += simulation.admit(entries[:count])
            del entries[:count]
        else:
            tasks += simulation.execute(tasks.pop(schedule.randrange(len(tasks))))


GRAPHS = st.lists(st.tuples(st.sampled_from(FATES), st.lists(st.integers(0, 6), max_size=3)), min_size=1, max_size=16)
BUILDS = st.lists(st.lists(st.integers(0, 15), min_size=1, max_size=3), min_size=1, max_size=5)


@pytest.mark.soak
@settings(max_examples=seeds(1500))
@given(GRAPHS, BUILDS, st.integers(0, 1 << 32))
@pytest.mark.slow
def test_any_graph_in_any_order(graph: list[Node], builds: list[list[int]], seed: int) -> None:
    simulation = Simulation(graph, builds)
    run(simulation, random.Random(seed))
    simulation.check()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(seeds(20)))
def test_many_threads_at_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a larger graph, while threads take turns as often as Python lets them."""
    chance = random.Random(seed)
    graph = [
        (chance.choice(FATES if chance.random() < 0.2 else FATES[:4]), [chance.randint(0, 40) for _ in range(3)])
        for _ in range(300)
    ]
    simulation = Simulation(graph, [[chance.randrange(300)] for _ in range(60)])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            futures: list[Future[None]] = []

            def start(tasks: list[Task]) -> None:
                futures.extend(pool.submit(execute, task) for task in tasks)

            def execute(task: Task) -> None:
                start(simulation.execute(task))

            for number in range(0, 60, 7):
                start(simulation.admit(simulation.entries[number : number + 7]))
            for future in futures:  # each adds those that follow from it before it ends
                future.result()
    finally:
        sys.setswitchinterval(interval)
    simulation.check()
