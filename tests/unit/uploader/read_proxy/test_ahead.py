"""What the read proxy fetches before Nix asks: nothing twice, nothing wrong, nothing for ever."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from nix_autocache.caches.http_status import INFO
from nix_autocache.caches.protocol import Content
from nix_autocache.caches.run_index import RunIndex
from nix_autocache.errors import CacheBusy, CacheError
from nix_autocache.uploader.read_proxy import ahead, archives, index, narinfos, spool
from nix_autocache.uploader.read_proxy.ahead import ObjectsAhead
from nix_autocache.uploader.read_proxy.index import Index
from nix_autocache.uploader.read_proxy.objects import CacheObjects
from nix_autocache.uploader.read_proxy.signatures import Signatures
from nix_autocache.uploader.read_proxy.spool import Spool
from tests.harness.object_cache import FAULTS, FaultyCache, base
from tests.harness.samples import KEY
from tests.harness.soak import seeds
from tests.harness.waiting import wait_for

LARGE = random.Random(0).randbytes(spool.SMALL + 300_000)


class Proxy:
    """The proxy's objects before a faulty cache."""

    def __init__(
        self,
        directory: Path,
        memory: int = 1 << 25,
        disk: int = 1 << 30,
        missed: Callable[[str, float], None] = lambda *_: None,
    ) -> None:
        self.cache = FaultyCache()
        self.memory, self.disk = memory, disk
        self.spool = Spool(directory, memory, disk)
        self.store = directory / "store"
        self.store.mkdir(exist_ok=True)
        self.index = Index(Signatures("/nix/store", [KEY.public]))
        self.objects = CacheObjects(self.cache, self.index.forget, missed)  # type: ignore[arg-type]
        self.ahead = ObjectsAhead(self.objects, self.spool, self.store, self.index)

    def load(self, *names: str) -> None:
        """An index with the narinfos of these names."""
        found = RunIndex.of(self.cache.objects[name].decode() for name in names)
        self.cache.objects["index"] = found.encode()
        self.index.load(self.cache, ["index"])  # type: ignore[arg-type]
        del self.cache.asked["index"]

    def read(self, name: str) -> bytes | None:
        """As the server does: all of it, None for a miss; raises where the connection would break."""
        content = self.ahead.open_now(name) or self.ahead.open(name)
        if content is None:
            return None
        try:
            found = b"".join(content.pieces)
        finally:
            content.close()
        assert content.size in {None, len(found)}, "a broken connection must be raised"
        return found

    def wait_for_questions(self, *names: str) -> None:
        wait_for(lambda: all(self.cache.asked[name] for name in names), f"questions for {names}")

    def has_all_its_room(self) -> bool:
        rooms = [self.spool.reserve(spool.SMALL) for _ in range(self.memory // spool.SMALL)]
        is_whole = all(room and room.file is None for room in rooms)
        for room in rooms:
            if room:
                room.close()
        return is_whole and self.ahead.is_empty


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    return Proxy(tmp_path)


def test_a_question_for_one_path_fetches_its_closure_and_nothing_twice(proxy: Proxy) -> None:
    names = [proxy.cache.add(n, b"archive %d" % n, [n, n + 1] if n < 9 else []) for n in range(10)]
    proxy.read(names[0][0])
    proxy.wait_for_questions(*(name for pair in names for name in pair))
    for name in [narinfo for narinfo, _ in names] + [archive for _, archive in names]:
        assert proxy.read(name) == proxy.cache.objects[name]
    first = names[0][0]
    assert proxy.cache.asked == {name: 1 + (name == first) for pair in names for name in pair}
    wait_for(proxy.has_all_its_room, "room")


def test_what_is_here_now_waits_for_no_index(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that asks serves all connections."""
    narinfo, _ = proxy.cache.add(1, b"archive")
    monkeypatch.setattr(index, "_PATIENCE", 60.0)
    proxy.cache.objects["index"] = RunIndex.of([]).encode()
    proxy.cache.late["index"] = threading.Event()
    proxy.index.load_soon(proxy.cache, ["index"], lambda: None)  # type: ignore[arg-type]
    asking = threading.Thread(target=proxy.ahead.open_now, args=(narinfo,), daemon=True)
    asking.start()
    asking.join(10)
    assert not asking.is_alive()
    proxy.cache.late["index"].set()
    assert proxy.read(narinfo) == proxy.cache.objects[narinfo]


def test_many_who_ask_at_once_cost_one_question(proxy: Proxy) -> None:
    narinfo, archive = proxy.cache.add(1, b"x" * 1000)
    proxy.cache.late = {name: threading.Event() for name in (narinfo, archive)}
    with ThreadPoolExecutor(40) as pool:
        for name in (narinfo, archive):
            readings = [pool.submit(proxy.read, name) for _ in range(20)]
            proxy.wait_for_questions(name)
            proxy.cache.late[name].set()
            readings[0].result()
        assert {reading.result() for reading in readings} == {b"x" * 1000}
    assert proxy.cache.asked[narinfo] <= 2, "one may come after the answer"


def test_a_reference_that_is_missing_is_asked_for_once(proxy: Proxy) -> None:
    first, second = (proxy.cache.add(n, b"archive %d" % n, [7])[0] for n in (1, 2))
    missing = f"{base(7)[:32]}.narinfo"
    proxy.read(first)
    proxy.wait_for_questions(missing)
    assert proxy.read(missing) is None
    proxy.read(second)
    proxy.wait_for_questions("nar/" + proxy.cache.objects[second].split(b"nar/")[1].split()[0].decode())
    assert proxy.cache.asked[missing] == 1
    assert proxy.read(missing) is None
    assert proxy.cache.asked[missing] == 2, "it may have come since"


def test_what_lies_in_the_store_is_not_fetched(proxy: Proxy) -> None:
    narinfo, archive = proxy.cache.add(1, b"archive 1", [2, 3])
    others = [proxy.cache.add(n, b"archive %d" % n) for n in (2, 3)]
    for number in (1, 2):
        (proxy.store / base(number)).touch()
    proxy.read(narinfo)
    proxy.wait_for_questions(*others[1])
    assert proxy.cache.asked[archive] == proxy.cache.asked[others[0][0]] == 0
    assert proxy.read(archive) == b"archive 1", "it may be there without being valid"


def test_what_nix_does_not_take_goes(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [proxy.cache.add(n, bytes([n]) * 300_000 + LARGE * (n % 2), [n + 1]) for n in range(4)]
    proxy.read(names[0][0])
    proxy.wait_for_questions(*(archive for _, archive in names))
    proxy.ahead.tidy()
    assert not proxy.ahead.is_empty
    for module in (archives, narinfos):
        monkeypatch.setattr(module, "_HELD", 0.0)

    def gone() -> bool:
        proxy.ahead.tidy()
        return proxy.has_all_its_room()

    wait_for(gone, "room")
    assert proxy.read(names[1][1]) == proxy.cache.objects[names[1][1]]


@pytest.mark.parametrize("size", [1000, len(LARGE)], ids=["small", "large"])
@pytest.mark.parametrize("is_told", [True, False], ids=["sized", "of unknown size"])
@pytest.mark.parametrize("fault", ["changed", "cut", "longer"])
@pytest.mark.parametrize("ahead", [True, False], ids=["ahead", "as it comes"])
def test_an_archive_that_is_not_what_its_narinfo_says_is_never_served(
    tmp_path: Path, size: int, is_told: bool, fault: str, ahead: bool
) -> None:
    proxy = Proxy(tmp_path) if ahead else Proxy(tmp_path, 0, 0)
    narinfo, archive = proxy.cache.add(1, LARGE[:size])
    proxy.cache.faults[archive] = fault
    proxy.cache.tells_sizes = is_told
    proxy.read(narinfo)
    for _ in range(2):
        with pytest.raises(CacheError, match="is not what its narinfo says"):
            proxy.read(archive)
    del proxy.cache.faults[archive]
    assert proxy.read(archive) == LARGE[:size]


def test_a_large_archive_is_passed_on_while_it_arrives_but_not_its_end(proxy: Proxy) -> None:
    narinfo, archive = proxy.cache.add(1, LARGE)
    proxy.cache.late[archive] = threading.Event()
    proxy.read(narinfo)
    proxy.wait_for_questions(archive)
    content = proxy.ahead.open(archive)
    assert content
    assert LARGE.startswith(next(filter(None, content.pieces)))
    proxy.cache.faults[archive] = "broken"
    proxy.cache.late[archive].set()
    with pytest.raises(CacheBusy):
        list(content.pieces)
    content.close()
    del proxy.cache.faults[archive]
    assert proxy.read(archive) == LARGE


def test_a_large_archive_that_nix_asks_for_at_once_is_only_passed_on(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_MOMENT", 30.0)
    narinfo, archive = proxy.cache.add(1, LARGE)
    proxy.read(narinfo)
    wait_for(lambda: not proxy.ahead.is_empty, "a thread that would fetch it")
    content = proxy.ahead.open(archive)
    assert content
    assert proxy.has_all_its_room()
    assert b"".join(content.pieces) == LARGE
    assert proxy.cache.asked[archive] == 1


def test_where_there_is_no_room_archives_come_from_the_cache(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, 0, 0)
    narinfo, archive = proxy.cache.add(1, LARGE)
    proxy.read(narinfo)
    assert proxy.read(archive) == LARGE
    assert proxy.cache.asked[archive] == 1


def test_a_failure_to_fetch_ahead_stops_that_for_a_while_and_nothing_else(proxy: Proxy) -> None:
    narinfo, archive = proxy.cache.add(1, b"archive 1", [2])
    other, other_archive = proxy.cache.add(2, b"archive 2", [3])
    proxy.cache.faults = {other: "busy", archive: "busy"}
    assert proxy.read(narinfo)
    proxy.wait_for_questions(other)
    del proxy.cache.faults[other], proxy.cache.faults[archive]
    assert proxy.read(other)
    assert proxy.read(archive) == b"archive 1"
    assert proxy.cache.asked["nix-cache-info"] == 0, "nobody wondered whether the cache is well"
    assert proxy.cache.asked[other_archive] == 0


def test_nothing_is_fetched_ahead_of_a_cache_in_trouble(proxy: Proxy) -> None:
    narinfo, archive = proxy.cache.add(1, b"archive 1", [2])
    proxy.cache.late[narinfo] = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(proxy.read, narinfo)
        proxy.wait_for_questions(narinfo)
        proxy.cache.busy = True
        assert proxy.read(f"{base(9)[:32]}.narinfo") is None
        proxy.cache.late[narinfo].set()
        assert reading.result()
    proxy.ahead.tidy()
    assert proxy.read(archive) is None
    assert proxy.cache.asked[archive] == 0


def test_what_the_index_knows_is_answered_at_once_and_fetched_ahead(proxy: Proxy) -> None:
    names = [proxy.cache.add(n, b"archive %d" % n, [n + 1] if n < 9 else [], KEY) for n in range(10)]
    proxy.load(*(narinfo for narinfo, _ in names))
    assert proxy.read(names[0][0]) == proxy.cache.objects[names[0][0]]
    proxy.wait_for_questions(*(archive for _, archive in names))
    for name in [narinfo for narinfo, _ in names] + [archive for _, archive in names]:
        assert proxy.read(name) == proxy.cache.objects[name]
    assert proxy.cache.asked == {archive: 1 for _, archive in names}
    wait_for(proxy.has_all_its_room, "room")


def test_references_are_fetched_before_what_refers_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_AT_ONCE", 1)
    proxy = Proxy(tmp_path)
    names = [
        proxy.cache.add(n, b"archive %d" % n, [each for each in (n + 1, 9) if n < each < 10], KEY) for n in range(10)
    ]
    proxy.load(*(narinfo for narinfo, _ in names))
    proxy.read(names[0][0])
    proxy.wait_for_questions(*(archive for _, archive in names))
    assert list(proxy.cache.asked) == [archive for _, archive in reversed(names)]


def test_what_the_index_does_not_know_is_asked_of_the_cache_and_leads_back_to_it(proxy: Proxy) -> None:
    """Known, unknown, known: the two archives and what lies between are fetched."""
    names = [proxy.cache.add(n, b"archive %d" % n, [n + 1] if n < 4 else [], KEY) for n in range(5)]
    proxy.load(names[0][0], names[1][0], names[3][0], names[4][0])
    proxy.read(names[0][0])
    proxy.wait_for_questions(*(archive for _, archive in names))
    assert proxy.cache.asked == {**{archive: 1 for _, archive in names}, names[2][0]: 1}


def test_of_the_index_nothing_is_fetched_that_lies_in_the_store(proxy: Proxy) -> None:
    names = [proxy.cache.add(n, b"archive %d" % n, [n + 1, n + 2] if n < 3 else [], KEY) for n in range(5)]
    (proxy.store / base(1)).touch()
    proxy.load(*(narinfo for narinfo, _ in names))
    proxy.read(names[0][0])
    proxy.wait_for_questions(names[0][1], names[2][1], names[3][1], names[4][1])
    assert proxy.cache.asked[names[1][1]] == 0


def test_small_archives_of_the_index_are_here_before_nix_asks(proxy: Proxy) -> None:
    small = [proxy.cache.add(n, b"archive %d" % n, [n + 1] if n < 4 else [], KEY) for n in range(5)]
    large = proxy.cache.add(5, LARGE, (), KEY)
    unsigned = proxy.cache.add(6, b"anybody's")
    (proxy.store / base(1)).touch()
    proxy.load(*(narinfo for narinfo, _ in [*small, large, unsigned]))
    proxy.ahead.begin()
    fetched = {archive: 1 for number, (_, archive) in enumerate(small) if number != 1}
    wait_for(lambda: proxy.cache.asked == fetched, "small archives, and nothing else")
    for name in [name for pair in small for name in pair]:
        assert proxy.read(name) == proxy.cache.objects[name]
    assert proxy.cache.asked == {archive: 1 for _, archive in small}
    wait_for(proxy.has_all_its_room, "room")


def test_only_so_much_of_an_index_is_fetched_before_nix_asks(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write to the cache may have made an index of any size."""
    names = [proxy.cache.add(n, b"archive %d" % n, (), KEY) for n in range(10)]
    proxy.load(*(narinfo for narinfo, _ in names))
    monkeypatch.setattr(ahead, "_EARLY", 30)
    proxy.ahead.begin()
    wait_for(lambda: proxy.cache.asked.total() == 3, "as many archives as fit")
    proxy.ahead.tidy()
    assert proxy.cache.asked.total() == 3


def test_an_archive_that_is_gone_is_noticed_before_nix_is_told_of_it(proxy: Proxy) -> None:
    names = [proxy.cache.add(n, b"archive %d" % n, [n + 1] if n < 2 else [], KEY) for n in range(3)]
    proxy.load(*(narinfo for narinfo, _ in names))
    proxy.cache.faults[names[1][1]] = "gone"
    proxy.ahead.begin()
    wait_for(lambda: proxy.index.get(names[0][0][:32]) is None, "the index without what refers to it")
    assert proxy.index.get(names[2][0][:32])


def test_what_nix_asks_for_first_is_here_by_then(proxy: Proxy) -> None:
    proxy.cache.faults[INFO] = "busy"
    proxy.objects.begin()
    del proxy.cache.faults[INFO]
    assert proxy.read(INFO) is None, "the cache has none"
    proxy.cache.objects[INFO] = b"StoreDir: /nix/store\n"
    proxy.objects.begin()
    asked = proxy.cache.asked[INFO]
    assert [proxy.read(INFO), proxy.read(INFO)] == [b"StoreDir: /nix/store\n"] * 2
    assert proxy.cache.asked[INFO] == asked


@pytest.mark.parametrize("is_asked_for", [True, False], ids=["asked for", "ahead"])
def test_an_archive_that_is_gone_takes_what_refers_to_it_out_of_the_index(proxy: Proxy, is_asked_for: bool) -> None:
    names = [proxy.cache.add(n, b"archive %d" % n, [n + 1] if n < 3 else [], KEY) for n in range(4)]
    proxy.load(*(narinfo for narinfo, _ in names))
    proxy.cache.faults[names[2][1]] = "gone"
    if is_asked_for:
        assert proxy.read(names[2][1]) is None
    else:
        assert proxy.read(names[0][0])
        proxy.wait_for_questions(names[2][1])
        wait_for(lambda: proxy.index.get(names[2][0][:32]) is None, "the index without it")
    for narinfo, _ in names:
        assert proxy.read(narinfo) == proxy.cache.objects[narinfo]
    assert [proxy.cache.asked[narinfo] > 0 for narinfo, _ in names] == [True, True, True, False]


@pytest.mark.parametrize("size", [1000, len(LARGE)], ids=["small", "large"])
def test_an_archive_that_was_written_again_since_the_index_is_served(proxy: Proxy, size: int) -> None:
    """Its name is that of its content before compression, which another level packs differently."""
    narinfo, archive = proxy.cache.add(1, LARGE[:size], (), KEY)
    proxy.load(narinfo)
    other = LARGE[: size - 10]
    changed = {f"FileSize: {size}\n": f"FileSize: {size - 10}\n"}
    text = proxy.cache.objects[narinfo].decode()
    for before, after in changed.items():
        text = text.replace(before, after)
    proxy.cache.objects |= {archive: other, narinfo: text.encode()}
    assert proxy.read(narinfo)
    assert proxy.read(archive) == other
    assert proxy.read(narinfo) == text.encode()


def test_an_archive_that_is_wrong_is_not_served_for_an_index(proxy: Proxy) -> None:
    narinfo, archive = proxy.cache.add(1, LARGE[:1000], (), KEY)
    proxy.load(narinfo)
    proxy.cache.faults[archive] = "changed"
    assert proxy.read(narinfo)
    for _ in range(2):
        with pytest.raises(CacheError, match="is not what its narinfo says"):
            proxy.read(archive)


@pytest.mark.soak
def test_what_is_asked_for_together_is_asked_once_and_what_is_missing_is_told(tmp_path: Path) -> None:
    missed: list[str] = []
    proxy = Proxy(tmp_path, missed=lambda name, when: missed.append(name))
    proxy.cache.together = 16
    names = [proxy.cache.add(number, b"x" * (number + 1))[0] for number in range(3)]
    gone = f"{base(9)[:32]}.narinfo"
    proxy.ahead.open_soon([*names, gone])
    assert [proxy.read(name) for name in names] == [proxy.cache.objects[name] for name in names]
    assert proxy.read(gone) is None
    assert missed == [gone]
    assert {proxy.cache.asked[name] for name in [*names, gone]} == {1}


def test_a_narinfo_of_another_path_is_no_answer(tmp_path: Path) -> None:
    """A server that mixes up the answers to requests that were sent together."""
    proxy = Proxy(tmp_path)
    names = [proxy.cache.add(number, b"x" * (number + 1))[0] for number in range(2)]
    right = dict(proxy.cache.objects)
    proxy.cache.get_many = lambda names: {  # type: ignore[method-assign]
        name: right[other] for name, other in zip(names, reversed(names), strict=True)
    }
    proxy.ahead.open_soon(names)
    assert [proxy.read(name) for name in names] == [right[name] for name in names]


@given(data=some.data())
@settings(max_examples=seeds(300))
@pytest.mark.slow
def test_what_is_served_is_what_the_cache_has_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: some.DataObject
) -> None:
    sizes = some.sampled_from([1, 700, 64 << 10, (64 << 10) + 1, 400_000, len(LARGE)])
    proxy = Proxy(tmp_path_factory.mktemp("spool"), data.draw(some.sampled_from([0, 500_000, 1 << 25])), 1 << 22)
    names: list[tuple[str, str]] = []
    for number in range(data.draw(some.integers(1, 12))):
        references = data.draw(some.lists(some.integers(0, 13), max_size=4))
        start = data.draw(some.integers(0, 1000))
        names.append(proxy.cache.add(number, LARGE[start : start + data.draw(sizes)], references, KEY))
    every = [name for pair in names for name in pair]
    archive_names = sorted({archive for _, archive in names})
    proxy.cache.faults = data.draw(
        some.dictionaries(some.sampled_from(archive_names), some.sampled_from(FAULTS), max_size=6)
    )
    proxy.cache.tells_sizes = data.draw(some.booleans())
    proxy.cache.together = data.draw(some.sampled_from([1, 2, 16]))
    if indexed := data.draw(some.lists(some.sampled_from([narinfo for narinfo, _ in names]), unique=True)):
        proxy.load(*indexed)
    questions = data.draw(some.lists(some.sampled_from(every), max_size=60))

    def check(name: str) -> None:
        try:
            found = proxy.read(name)
        except (CacheError, CacheBusy, ValueError):
            return
        assert found in {None, proxy.cache.objects[name]}

    with ThreadPoolExecutor(8) as pool:
        if data.draw(some.booleans()):
            proxy.ahead.open_soon([name for name, _ in names])
        list(pool.map(check, [name for name, _ in names]))
        list(pool.map(check, questions))
        proxy.cache.faults = {}
        list(pool.map(check, questions))


def test_where_only_small_archives_are_held_a_large_one_holds_up_none(tmp_path: Path) -> None:
    """As for a cache that keeps what it reads: what is large would be on disk twice."""
    proxy = Proxy(tmp_path, disk=0)
    small, held = proxy.cache.add(1, b"small")
    large, passing = proxy.cache.add(2, LARGE, [1])
    proxy.read(large)
    proxy.wait_for_questions(held)
    assert proxy.read(passing) == LARGE
    assert (proxy.read(small), proxy.read(held)) == (proxy.cache.objects[small], b"small")
    assert proxy.cache.asked[passing] == proxy.cache.asked[held] == 1
    assert not [*tmp_path.glob("tmp*")]
    wait_for(proxy.has_all_its_room, "room")


def test_what_is_not_passed_on_is_missing(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path)
    narinfo, archive = proxy.cache.add(1, b"archive")
    missed: list[str] = []
    objects = CacheObjects(
        proxy.cache,  # type: ignore[arg-type]
        proxy.index.forget,
        lambda name, _: missed.append(name),
        lambda name, text: None if name.endswith(".narinfo") else text,
    )
    ahead = ObjectsAhead(objects, proxy.spool, proxy.store, proxy.index)
    assert ahead.open(narinfo) is None
    assert missed == [], "the cache has it"
    assert b"".join((ahead.open(archive) or Content(0, iter(()))).pieces) == b"archive"
