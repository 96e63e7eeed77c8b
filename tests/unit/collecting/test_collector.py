"""What the collector keeps and deletes, and that the cache is closed wherever it is stopped."""

import gc
import random

import pytest

from nix_autocache.caches.doomed_list import BEGUN, DOOMED, WAIT, Claim, DoomedList, Keys, encode_begun
from nix_autocache.ci.lane import Lane
from nix_autocache.collecting.archives import Archives
from nix_autocache.collecting.graph import number_of
from nix_autocache.collecting.lock import LOCK, STALE, TakenError
from nix_autocache.collecting.look import Known, look
from nix_autocache.collecting.policy import judge
from nix_autocache.collecting.policy_inputs import Policy
from nix_autocache.collecting.roots import roots
from nix_autocache.errors import Error
from tests.harness.collected import (
    DAY,
    LANE,
    add,
    archive,
    archives,
    collect,
    collector,
    daily,
    narinfo,
    narinfo_text,
    narinfos,
    opened,
    part,
    record,
)
from tests.harness.memory_store import MemoryStore, StoppedError
from tests.harness.soak import seeds


def old_cache() -> MemoryStore:
    """0 <- 1 <- 2 is used, 3 is dead and refers to 0, and 4 is dead and has the archive of 1; all of 40 days ago."""
    store = MemoryStore()
    add(store, 0)
    add(store, 1, [0])
    add(store, 2, [1])
    add(store, 3, [0])
    add(store, 4, [3], content=1)
    record(store, [2])
    store.now += 40 * DAY
    return store


def test_what_a_run_used_stays_with_all_that_it_refers_to() -> None:
    store = old_cache()
    report = collect(store)
    assert (report.doomed.paths, report.deleted.paths) == (2, 0), "it is only announced"
    store.now += DAY
    report = collect(store)
    assert report.deleted.paths == 2
    assert narinfos(store) == {narinfo(each) for each in (0, 1, 2)}
    assert archive(3) in archives(store), "a client may have read its narinfo just now"
    store.now += DAY
    collect(store)
    assert archives(store) == {archive(each) for each in (0, 1, 2)}


def test_with_now_it_waits_and_deletes_in_one_run() -> None:
    store = old_cache()
    began = store.now
    assert collect(store, now=True).deleted.paths == 2
    assert store.now - began >= 900
    assert narinfos(store) == {narinfo(each) for each in (0, 1, 2)}


def test_an_announcement_that_is_too_new_is_not_deleted() -> None:
    store = old_cache()
    collect(store)
    store.now += 600
    report = collect(store)
    assert (report.deleted.paths, report.waits) == (0, 300)
    store.now += 301
    assert collect(store).deleted.paths == 2


def test_what_is_claimed_stays_with_all_that_it_refers_to() -> None:
    store = old_cache()
    collect(store)
    announced = DoomedList.read(store)
    assert announced
    assert narinfo(4) in announced.keys
    claim = Claim.name(announced.epoch, "abcdef01", 1)
    store.put(claim, Claim(announced.epoch, Keys.of([narinfo(4)])).encode())
    store.now += DAY
    report = collect(store)
    assert (report.deleted.paths, report.spared) == (0, 2)
    assert claim not in store.contents
    daily(store, 2)
    assert len(narinfos(store)) == 3, "nothing needed it in the end"


def test_an_archive_that_is_claimed_stays() -> None:
    store = old_cache()
    daily(store, 2)
    announced = DoomedList.read(store)
    assert announced
    assert archive(3) in announced.keys
    store.put(Claim.name(announced.epoch, "abcdef01", 1), Claim(announced.epoch, Keys.of([archive(3)])).encode())
    daily(store, 1)
    assert archive(3) in archives(store)


@pytest.mark.parametrize("damaged", [DOOMED, BEGUN, "autocache/gc/claims/1-abcdef01-1"])
def test_damage_deletes_nothing_and_is_mended(damaged: str) -> None:
    store = old_cache()
    collect(store)
    store.put(damaged, b"garbage")
    store.now += DAY
    said: list[str] = []
    assert collector(store, said=said).collect().deleted.paths == 0
    assert said
    announced = DoomedList.read(store)
    assert announced
    assert announced.announced
    daily(store, 1)
    assert len(narinfos(store)) == 3


def test_a_damaged_pin_stops_everything() -> None:
    store = old_cache()
    store.put("autocache/pins/release", b"garbage")
    with pytest.raises(Error, match=r"autocache/pins/release is damaged; .* unpin"):
        collect(store)


def test_a_damaged_index_is_made_again_and_a_good_one_saves_all_reading() -> None:
    store = old_cache()
    assert collect(store).read == 5
    store.now += DAY
    assert collector(store).preview().read == 0
    store.put("autocache/gc/index", b"garbage")
    assert collect(store).read == 5


def test_what_one_listing_found_is_forgotten_before_the_next() -> None:
    """Each takes 60 MB for a million paths."""
    store = old_cache()
    collect(store)
    store.now += DAY
    earlier = held_archives()  # other tests of this process may have left some
    listed = []

    def count(kind: str, name: str) -> None:
        if (kind, name) == ("list", ""):
            listed.append(sum(all(each is not other for other in earlier) for each in held_archives()))

    store.before = count
    collect(store)
    assert listed == [0, 0]


def held_archives() -> list[Archives]:
    """What this process holds of archives that were listed."""
    return [each for each in gc.get_objects() if isinstance(each, Archives) and len(each) > 0]


def test_what_changed_is_read_again() -> None:
    store = old_cache()
    collect(store)
    store.put(narinfo(2), narinfo_text(2, [1, 3], archive(2)))
    store.now += DAY
    report = collect(store)
    assert (report.read, report.deleted.paths) == (1, 1)
    assert opened(store) == []


def test_too_much_at_once_is_not_announced() -> None:
    store = old_cache()
    report = collect(store, Policy(at_most=0.1))
    assert "--at-most" in report.refused
    assert DOOMED not in store.contents


def test_a_preview_changes_nothing() -> None:
    store = old_cache()
    before = dict(store.contents)
    assert collector(store).preview(lambda: store.now).doomed.paths == 2
    assert store.contents == before


def test_realisations_and_listings_go_with_what_they_belong_to() -> None:
    store = old_cache()
    of = {number: names_beside(number) for number in (0, 3)}
    for number, names in of.items():
        contents = (f'{{"outPath":"{part(number)}-x"}}', "{}", f'{{"archive":"../{archive(number)}"}}')
        for name, content in zip(names, contents, strict=True):
            store.put(name, content.encode())
    daily(store, 3)
    assert {name for names in of.values() for name in names} & store.contents.keys() == set(of[0])


def names_beside(number: int) -> list[str]:
    """A realisation, a listing and a debug link."""
    return [f"realisations/sha256:{number:064x}!out.doi", f"{part(number)}.ls", f"debuginfo/{number:040x}.debug"]


def test_what_cannot_be_deleted_spares_what_it_refers_to() -> None:
    store = old_cache()
    store.locked = frozenset({narinfo(4)})
    daily(store, 3)
    assert narinfo(3) in store.contents
    assert opened(store) == []


def test_only_one_collector_runs_until_it_is_silent_for_long() -> None:
    store = old_cache()
    collect(store)
    store.put(LOCK, b"of another")
    with pytest.raises(TakenError, match="taken over after"):
        collect(store)
    store.now += STALE
    collect(store)
    assert LOCK not in store.contents


def test_one_that_was_silent_for_too_long_deletes_nothing_more() -> None:
    store = old_cache()
    collect(store)
    store.now += DAY

    def pause(kind: str, name: str) -> None:
        if kind == "put" and name == BEGUN:
            store.before = lambda *_: None
            store.now += 2 * STALE
            collect(store)  # another takes over, and ends
            add(store, 3, [0])  # and a job pushes what was deleted
            add(store, 9, [3])

    store.before = pause
    with pytest.raises(TakenError):
        collect(store)
    assert narinfo(3) in store.contents
    assert opened(store) == []


def test_a_store_that_ignores_conditions_needs_alone() -> None:
    store = old_cache()
    store.conditional = False
    with pytest.raises(Error, match="--alone"):
        collect(store)
    assert collector(store, alone=True).collect().doomed.paths == 2


def test_what_another_tool_publishes_during_the_sweep_is_removed_again() -> None:
    """`nix copy` does not know of the list."""
    store = old_cache()
    collect(store)
    store.now += DAY

    def publish(kind: str, name: str) -> None:
        if kind == "delete" and name == narinfo(3):
            store.before = lambda *_: None
            add(store, 7, [4, 0])
            add(store, 8, [7])

    store.before = publish
    report = collect(store)
    assert sorted(report.mended) == sorted([narinfo(7), narinfo(8)])
    assert opened(store) == []


def dag(random_: random.Random) -> MemoryStore:
    """A cache of some closures, of which some are used, of many days."""
    store = MemoryStore()
    count = random_.randint(3, 9)
    for number in range(count):
        add(store, number, random_.sample(range(number), min(number, random_.randint(0, 3))), random_.randint(0, count))
        store.now += random_.choice([0, DAY, 20 * DAY])
    record(store, random_.sample(range(count), random_.randint(0, 2)))
    return store


@pytest.mark.soak
def test_the_cache_is_closed_wherever_the_collector_dies() -> None:
    """Before each of its requests, and after each of its deletions; the next ones finish what it began."""
    for seed in range(seeds(100)):
        stopped, at = True, 0
        while stopped:
            store = dag(random.Random(seed))
            kept = copy_of_the_end(dag(random.Random(seed)))
            stopped = run_until(store, at)
            at += 1
            daily(store, 4)
            assert (narinfos(store), archives(store)) == kept, (seed, at)


def copy_of_the_end(store: MemoryStore) -> tuple[set[str], set[str]]:
    """What is left if nothing dies."""
    store.now += 2 * DAY
    daily(store, 5)
    return narinfos(store), archives(store)


def run_until(store: MemoryStore, at: int) -> bool:
    """Three runs, ended before request `at`; False if there are fewer. Whenever something changes, it is closed."""
    requests = 0

    def count(kind: str, name: str) -> None:
        nonlocal requests
        requests += 1
        if requests > at:
            raise StoppedError

    def closed() -> None:
        assert opened(store) == []

    store.before, store.after = count, closed
    try:
        daily(store, 3)
    except StoppedError:
        return True
    finally:
        store.before = lambda *_: None
    return False


FORGED = "autocache/gc/claims/999999999999999-abcdef01-1"


@pytest.mark.parametrize(
    "forged",
    [
        {FORGED: Claim(999999999999999, Keys()).encode()},
        {DOOMED: DoomedList(10**15, 0).encode()},
        {DOOMED: DoomedList(10**15, 0, True, Keys.of([narinfo(4)])).encode()},
        {BEGUN: encode_begun(10**15)},
    ],
)
def test_claims_hold_whatever_epoch_somebody_has_written(forged: dict[str, bytes]) -> None:
    """Who counted on from such an epoch would come to names of claims that no collector knows."""
    store = old_cache()
    store.contents |= forged
    collect(store)
    announced = DoomedList.read(store)
    assert announced
    assert narinfo(4) in announced.keys
    store.put(Claim.name(announced.epoch, "abcdef01", 1), Claim(announced.epoch, Keys.of([narinfo(4)])).encode())
    daily(store, 1)
    assert narinfo(4) in store.contents
    assert FORGED not in store.contents


def test_an_epoch_is_never_used_again_when_the_collectors_folder_was_lost() -> None:
    """A pusher asks again for what it has found when the epoch is another, and only then."""
    store = old_cache()
    daily(store, 2)
    seen = DoomedList.read(store)
    assert seen
    for name in [each for each in store.contents if each.startswith("autocache/gc/")]:
        del store.contents[name]
    store.now += 900
    collect(store)
    announced = DoomedList.read(store)
    assert announced
    assert announced.epoch > seen.epoch


def test_a_record_of_paths_that_are_not_there_takes_no_memory() -> None:
    store = old_cache()
    record(store, range(1000, 3000), Lane("f" * 16, LANE.lane))
    said: list[str] = []
    found = look(store, Known(), said.append)
    before = len(found.graph)
    kept = roots(store, found, Policy(), store.now, said.append)
    judge(found, kept, Policy(), store.now)
    assert (list(kept.used), len(found.graph)) == ([number_of(part(2))], before)


HOSTILE = {
    f"{part(90)}.narinfo": b"StorePath: x\nReferences: " + b"x" * (1 << 20),
    f"{part(91)}.narinfo": b"\xff\nURL: ../../\0\x1b\nReferences: / .. \n",
    f"{part(92)}.narinfo": b"",
    "realisations/list.doi": f'{{"outPath": {list(part(0))}}}'.replace("'", '"').encode(),
    "realisations/a\u2028 b\n.doi": f'{{"outPath": "{part(2)}-x"}}'.encode(),
    "realisations/large.doi": b" " * (2 << 20),
    "debuginfo/surrogate": b'{"archive": "\\ud800"}',
    "debuginfo/space": b'{"archive": "a b\\r"}',
    "autocache/runs/fedcba9876543210/99990101T000000-01234567": b"x",
    "autocache/runs/../../x": b"x",
}


def test_small_objects_that_somebody_planted_end_no_run() -> None:
    """Each of them once did, or had all narinfos read again in each run."""
    store = old_cache()
    for name, content in HOSTILE.items():
        store.put(name, content)
    collect(store)
    store.now += DAY
    report = collect(store)
    assert (report.read, report.deleted.paths) == (0, 2)
    assert HOSTILE.keys() <= store.contents.keys()


OTHERS = ["nar/", "nar/index.html", "nar/nix-cache-info", f"nar/{part(1)}.narinfo", f"nar/{archive(9)}", "nar/.nar"]
OTHERS += ["x.narinfo", f"team/{archive(8)}", f"team/{part(8)}.narinfo", "narrow/a.nar", "autocache/other", "log/x.drv"]


def test_what_is_not_of_this_cache_stays() -> None:
    """Also the objects of a cache below it, in a folder that is named as ours are."""
    store = old_cache()
    for name in OTHERS:
        store.contents[name] = b"of another"
    daily(store, 4)
    assert len(narinfos(store) - set(OTHERS)) == 3
    assert set(OTHERS) <= store.contents.keys()


def test_slow_requests_do_not_shorten_the_time_that_pushers_have() -> None:
    """The time of the store is known by an object that may have been put minutes after that was begun."""
    store = old_cache()
    collect(store)
    announced = store.times[DOOMED]

    def slow(kind: str, name: str) -> None:
        if "probe" in name and kind == "put":
            store.now += 300
        if name == BEGUN:
            assert store.now - announced >= WAIT

    store.before = slow
    assert collect(store, now=True).deleted.paths == 2


def test_one_that_is_alone_still_gives_signs_to_others() -> None:
    """The message of a lock that is held says that --alone ends it, so others may come without."""
    store = old_cache()
    collect(store)
    store.now += DAY

    def another(kind: str, name: str) -> None:
        if kind == "delete" and name == narinfo(3):
            store.before = lambda *_: None
            with pytest.raises(TakenError, match="taken over after"):
                collect(store)

    def slow(kind: str, name: str) -> None:
        if kind == "put" and name == BEGUN:
            store.now += 2 * STALE
            store.before = another

    store.before = slow
    assert collector(store, alone=True).collect().deleted.paths == 2
