"""Two uploaders and a collector, all real, on one store in memory, in any order of their requests.

At every instant each narinfo has its archive and the narinfos that it refers to. Sleeping machines, uploaders and
collectors that die, and a second collector that takes over are part of it.
"""

import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nix_autocache.caches.doomed_list import CLAIMS
from nix_autocache.ci.lane import Lane
from nix_autocache.collecting.collector import Collector
from nix_autocache.collecting.lock import STALE, Clock, TakenError
from nix_autocache.collecting.policy_inputs import Policy
from nix_autocache.nix import base32, nar
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.uploader import doomed
from nix_autocache.uploader.compress import Codec
from nix_autocache.uploader.doomed import Doomed
from nix_autocache.uploader.ledger import Ledger
from nix_autocache.uploader.plan import Plan
from nix_autocache.uploader.push import BinaryCache
from nix_autocache.uploader.run_records import RunRecords
from nix_autocache.uploader.tasks import Tasks
from tests.harness.collected import DAY, opened, part
from tests.harness.memory_store import MemoryStore, StoppedError
from tests.harness.permuted import Inline, Permuted
from tests.harness.soak import seeds

PATHS = 7


@pytest.fixture(scope="module")
def infos(tmp_path_factory: pytest.TempPathFactory) -> list[PathInfo]:
    """Paths without references; the last two have the same content."""
    directory, found = tmp_path_factory.mktemp("store"), []
    for number in range(PATHS):
        path = StorePath(f"{directory}/{part(number)}-path-{number}")
        Path(path).write_text(f"{min(number, PATHS - 2)}")
        archive = b"".join(nar.archive(path))
        digest = f"sha256:{base32.encode(hashlib.sha256(archive).digest())}"
        found.append(PathInfo(path, "", (), digest, len(archive), "", ()))
    return found


def graph(infos: Sequence[PathInfo], generator: random.Random) -> list[PathInfo]:
    """The paths, each with references to some before it."""
    made: list[PathInfo] = []
    for info in infos:
        count = generator.randint(0, min(2, len(made)))
        references = tuple(sorted(each.path for each in generator.sample(made, count)))
        made.append(PathInfo(info.path, "", references, info.nar_hash, info.nar_size, "", ()))
    return made


def closure(graph: Sequence[PathInfo], wanted: Sequence[PathInfo]) -> list[PathInfo]:
    by_path = {info.path: info for info in graph}
    found: dict[StorePath, PathInfo] = {}
    todo = list(wanted)
    while todo:
        info = todo.pop()
        if info.path not in found:
            found[info.path] = info
            todo += [by_path[each] for each in info.references]
    return list(found.values())


class World:
    """What happens with one seed. `counts` says how much of what is tested did."""

    def __init__(self, infos: Sequence[PathInfo], seed: int, counts: Counter[str]) -> None:
        self.random, self.counts = random.Random(seed), counts
        self.store = MemoryStore()
        self.graph = graph(infos, self.random)
        self.broken: list[str] = []
        old = self.random.sample(self.graph, self.random.randint(2, PATHS))
        self.push(closure(self.graph, old), 1, Doomed(), lambda: None)
        self.store.now += 40 * DAY
        self.store.after = self.look
        self.permuted = Permuted(self.store, self.random, stop=self.random.choice([0.0, 0.0, 0.01]))

    def look(self) -> None:
        if wrong := opened(self.store):
            self.broken += wrong

    def push(self, infos: list[PathInfo], flushes: int, doomed: Doomed, between: Callable[[], None]) -> None:
        """An uploader, with as many flushes."""
        lane = Lane("0" * 16, f"{self.random.randrange(1 << 32):08x}")
        pusher = BinaryCache(
            cache=self.store,
            key=None,
            codec=Codec(name="none", level=0),
            cache_info="",
            doomed=doomed,
            records=RunRecords(lane if flushes > 1 else None, lambda: self.store.now),
        )
        ledger, workers = Ledger(), Inline(self.random)
        tasks = Tasks(pusher, ledger, infos[0].path.rpartition("/")[0])
        tasks._workers = workers  # type: ignore[assignment]
        tasks.begin()
        for _ in range(flushes):
            ledger.forget_failures()
            new = tuple(info for info in infos if info.path not in ledger.known)
            tasks.start(Plan(entries=(), outputs={}, candidates=new, settled=(), realised={}), {})
            workers.run(between)
            self.counts.update(f"{each.what} {each.reason[:60]}".strip() for each in ledger.take_settled()[0])
            between()
        pusher.settle()

    def uploader(self) -> None:
        wanted = closure(self.graph, self.random.sample(self.graph, 2))
        lazy = self.random.choice([0.0, 0.02, 0.1])

        def between() -> None:
            if self.random.random() < lazy:
                self.permuted.sleep(self.random.choice([10.0, 200.0, 1000.0, 3 * DAY]))

        self.permuted.sleep(self.random.choice([0.0, 300.0, 900.0, 1200.0, 1500.0]))
        try:
            self.push(wanted, 3, Doomed(self.store, self.permuted.now), between)
        except StoppedError:
            self.counts["an uploader died"] += 1

    def collector(self) -> None:
        for _ in range(3):
            clock = Clock(self.permuted.now, self.permuted.sleep)
            try:
                report = Collector(self.store, Policy(at_most=1.0), clock, lambda _: None).collect(now=True)
                self.counts["deleted"] += report.deleted.paths
                self.counts["archives"] += report.deleted.archives
                self.counts["spared"] += report.spared
            except TakenError:
                self.counts["taken"] += 1
            self.permuted.sleep(self.random.choice([0.0, 300.0, DAY]))

    def second_collector(self) -> None:
        self.permuted.sleep(self.random.choice([STALE + 1, DAY]))
        self.collector()

    def run(self) -> list[str]:
        self.permuted.run(self.uploader, self.uploader, self.collector, self.second_collector)
        self.counts["claims"] += sum(name.startswith(CLAIMS) for name in self.store.times)
        return self.broken


def broken(infos: Sequence[PathInfo], first: int, count: int, counts: Counter[str]) -> list[int]:
    """The seeds with which the cache was open at some instant."""
    return [seed for seed in range(first, first + count) if World(infos, seed, counts).run()]


@pytest.mark.soak
def test_the_cache_is_closed_at_every_instant(infos: list[PathInfo]) -> None:
    counts: Counter[str] = Counter()
    assert broken(infos, 0, seeds(2000), counts) == []
    happened = ("deleted", "archives", "spared", "claims", "pushed", "present", "an uploader died", "taken")
    assert [what for what in happened if not counts[what]] == []
    assert any("being collected" in what for what in counts), "some must have come too late"


def never_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Doomed, "hold", lambda self, _: self._view.listed.epoch)


def believes_all_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doomed, "read_begun", lambda _: None)


def never_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doomed, "VIEW", math.inf)
    monkeypatch.setattr(doomed, "_DUE", math.inf)


def believes_what_it_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "exists", lambda *_: True)


@pytest.mark.parametrize(
    "without",
    [never_claims, believes_all_claims, never_looks_again, believes_what_it_saw],
    ids=lambda each: each.__name__,
)
def test_each_rule_of_a_pusher_is_needed(
    infos: list[PathInfo], without: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch)
    assert any(broken(infos, first, 10, Counter()) for first in range(0, 600, 10))
