"""A pusher and the collector's list: what is doomed is claimed before it is relied on, and an old view is renewed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from nix_autocache.caches.doomed_list import (
    BEGUN,
    CLAIMS,
    DOOMED,
    VIEW,
    Claim,
    DamagedError,
    DoomedList,
    Keys,
    encode_begun,
)
from nix_autocache.nix.realisation import Realisation
from nix_autocache.nix.store import StorePath
from nix_autocache.system.dataclass import replace
from nix_autocache.uploader.compress import Codec
from nix_autocache.uploader.doomed import Collected, Doomed
from nix_autocache.uploader.push import BinaryCache
from nix_autocache.uploader.pusher import Pusher
from tests.harness.draining import draining
from tests.harness.memory_store import MemoryStore
from tests.harness.object_cache import STORE, FaultyCache, base, hash_part

OWN, ARCHIVE = f"9{hash_part(9)[1:]}.narinfo", "nar/1b2c3d4f5g6h7i8j.nar"
REFERENCES = [StorePath(f"{STORE}/{number}{base(number)[1:]}") for number in (1, 2)]
NAMES = [f"{path.hash_part}.narinfo" for path in REFERENCES]


@dataclass
class Cache(MemoryStore):
    """`asked` are the requests."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    then: dict[tuple[str, str], Callable[[], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before = self._note

    def announce(self, epoch: int, *names: str) -> None:
        self.contents[DOOMED] = DoomedList(epoch, 0, True, Keys.of(names)).encode()

    def end(self, epoch: int) -> None:
        self.contents[DOOMED] = DoomedList(epoch, 0).encode()
        self.contents.pop(BEGUN, None)

    def claims(self) -> list[Claim | None]:
        return [Claim.read(self, name) for name in sorted(self.contents) if name.startswith(CLAIMS)]

    def _note(self, kind: str, name: str) -> None:
        self.asked.append((kind, name))
        for (of_kind, beginning), happens in [*self.then.items()]:
            if kind == of_kind and name.startswith(beginning):
                del self.then[of_kind, beginning]
                happens()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cache() -> Cache:
    return Cache(contents=dict.fromkeys([*NAMES, ARCHIVE], b"there"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def found(cache: Cache, clock: Clock) -> Doomed:
    """A pusher that has found the references and put the archive."""
    doomed = Doomed(cache, clock)
    doomed.look()
    for name in (*NAMES, ARCHIVE):
        doomed.note(name, doomed.hold([name]))
    cache.asked.clear()
    return doomed


def test_without_a_list_nothing_is_asked_but_that(cache: Cache, clock: Clock) -> None:
    doomed = found(cache, clock)
    assert doomed.secure(OWN, ARCHIVE, REFERENCES) == 0
    assert cache.asked == []


def test_what_was_found_before_the_list_was_read_is_not_asked_for_again_if_there_is_none(
    cache: Cache, clock: Clock
) -> None:
    doomed = Doomed(cache, clock)
    doomed.note(NAMES[0], doomed.hold(NAMES))
    doomed.look()
    doomed.secure(OWN, "", REFERENCES)
    assert cache.asked == [("get", DOOMED)]


def test_what_is_not_on_the_list_costs_no_request(cache: Cache, clock: Clock) -> None:
    cache.announce(7, "0" * 32)
    doomed = found(cache, clock)
    assert doomed.secure(OWN, ARCHIVE, REFERENCES) == 7
    assert cache.asked == []


def test_what_was_found_before_the_list_was_read_is_asked_for_again_if_there_is_one(cache: Cache, clock: Clock) -> None:
    cache.end(7)
    doomed = Doomed(cache, clock)
    doomed.note(NAMES[0], doomed.hold(NAMES))
    doomed.look()
    del cache.contents[NAMES[0]]
    with pytest.raises(Collected):
        doomed.secure(OWN, "", REFERENCES)


def test_references_in_other_caches_are_not_asked_for(cache: Cache, clock: Clock) -> None:
    doomed = found(cache, clock)
    cache.announce(7, *NAMES)
    clock.now += VIEW + 1
    elsewhere = StorePath(f"{STORE}/5{base(5)[1:]}")
    doomed.secure(OWN, "", [elsewhere])
    assert cache.asked == [("get", DOOMED)]


def test_an_old_view_is_renewed_and_what_it_said_is_asked_for_again(cache: Cache, clock: Clock) -> None:
    doomed = found(cache, clock)
    clock.now += VIEW
    doomed.secure(OWN, ARCHIVE, REFERENCES)
    assert cache.asked == []
    clock.now += 1
    cache.announce(1)
    doomed.secure(OWN, ARCHIVE, REFERENCES)
    assert cache.asked == [("get", DOOMED), *(("head", name) for name in (ARCHIVE, *NAMES))]


@pytest.mark.parametrize("lost", [ARCHIVE, NAMES[1]])
def test_what_has_gone_while_this_machine_was_suspended_is_noticed(cache: Cache, clock: Clock, lost: str) -> None:
    doomed = found(cache, clock)
    clock.now += 24 * 3600
    cache.end(2)
    del cache.contents[lost]
    with pytest.raises(Collected, match="tried again at the next flush") as raised:
        doomed.secure(OWN, ARCHIVE, REFERENCES)
    assert raised.value.gone == ({REFERENCES[1]} if lost == NAMES[1] else set())


def test_what_is_doomed_is_claimed_once(cache: Cache, clock: Clock) -> None:
    cache.announce(7, NAMES[0], ARCHIVE)
    doomed = Doomed(cache, clock)
    doomed.look()
    assert doomed.hold([*NAMES, ARCHIVE]) == 7
    assert cache.claims() == [Claim(7, Keys.of([NAMES[0], ARCHIVE]))]
    cache.asked.clear()
    assert doomed.hold([*NAMES, ARCHIVE]) == 7
    assert cache.asked == []


def test_a_claim_is_put_before_it_is_asked_whether_it_holds(cache: Cache, clock: Clock) -> None:
    cache.announce(7, NAMES[0])
    doomed = Doomed(cache, clock)
    doomed.look()
    cache.asked.clear()
    doomed.hold(NAMES)
    (kind, claim), *asked = cache.asked
    assert (kind, Claim.epoch_of(claim)) == ("put", 7)
    assert asked == [("get", BEGUN), ("get", DOOMED)]


def test_two_uploaders_and_two_claims_have_names_of_their_own(cache: Cache, clock: Clock) -> None:
    cache.announce(7, *NAMES)
    for _ in range(2):
        doomed = Doomed(cache, clock)
        doomed.look()
        doomed.hold(NAMES[:1])
        doomed.hold(NAMES)
    assert len(cache.claims()) == 4


def test_a_claim_does_not_hold_once_the_deletion_has_begun(cache: Cache, clock: Clock) -> None:
    cache.announce(7, NAMES[0])
    doomed = Doomed(cache, clock)
    doomed.look()
    cache.contents[BEGUN] = encode_begun(7)
    with pytest.raises(Collected, match="tried again at the next flush"):
        doomed.hold(NAMES)
    with pytest.raises(Collected):
        doomed.hold(NAMES)
    cache.end(7)
    assert doomed.hold(NAMES[1:]) == 7
    clock.now += VIEW
    doomed.look()
    assert doomed.hold(NAMES) == 7


def test_what_another_list_dooms_is_claimed_from_that(cache: Cache, clock: Clock) -> None:
    cache.announce(7, NAMES[0])
    doomed = Doomed(cache, clock)
    doomed.look()
    cache.then["get", BEGUN] = lambda: cache.announce(8, *NAMES)  # announced anew, after a crash
    assert doomed.hold(NAMES) == 8
    assert cache.claims() == [Claim(7, Keys.of(NAMES[:1])), Claim(8, Keys.of(NAMES))]


def test_a_claim_for_a_list_whose_sweep_is_over_is_no_claim(cache: Cache, clock: Clock) -> None:
    cache.announce(7, NAMES[0])
    doomed = found(cache, clock)

    def sweep() -> None:
        del cache.contents[NAMES[0]]
        cache.end(8)

    clock.now += VIEW - 1
    cache.announce(8, NAMES[0])
    cache.then["put", CLAIMS] = sweep
    clock.now += 2
    with pytest.raises(Collected):
        doomed.secure(OWN, ARCHIVE, REFERENCES)


def test_claims_of_an_earlier_list_do_not_hold_for_the_next(cache: Cache, clock: Clock) -> None:
    cache.announce(7, NAMES[0])
    doomed = found(cache, clock)
    cache.announce(8, NAMES[0])
    clock.now += VIEW + 1
    assert doomed.secure(OWN, ARCHIVE, REFERENCES) == 8
    assert [claim.epoch for claim in cache.claims() if claim] == [7, 8]


def test_time_that_passes_while_the_references_are_asked_for_counts(cache: Cache, clock: Clock) -> None:
    doomed = found(cache, clock)
    cache.announce(7)
    clock.now += VIEW + 1

    def suspend() -> None:
        clock.now += VIEW + 1
        del cache.contents[NAMES[1]]
        cache.end(8)

    cache.then["head", NAMES[1]] = suspend
    with pytest.raises(Collected):
        doomed.secure(OWN, ARCHIVE, REFERENCES)


@pytest.mark.parametrize("lost", [False, True])
def test_a_realisation_claims_the_path_that_it_names(cache: Cache, clock: Clock, *, lost: bool) -> None:
    doomed = found(cache, clock)
    pusher = BinaryCache(cache=cache, key=None, codec=Codec(name="none", level=0), cache_info="", doomed=doomed)
    realised = pusher.realise(Realisation(StorePath(f"{STORE}/{base(3)}.drv"), "out", "sha256:0!out", REFERENCES[0]))
    assert realised
    cache.announce(7, NAMES[0])
    clock.now += VIEW + 1
    if lost:
        del cache.contents[NAMES[0]]
        cache.end(8)
        with pytest.raises(Collected) as raised:
            pusher.publish(realised)
        assert raised.value.gone == {REFERENCES[0]}
        assert realised.name not in cache.contents
    else:
        pusher.publish(realised)
        assert cache.claims() == [Claim(7, Keys.of(NAMES[:1]))]
        assert realised.name in cache.contents


def test_the_list_is_read_again_in_time_and_not_before(cache: Cache, clock: Clock) -> None:
    doomed = Doomed(cache, clock)
    assert doomed.is_due
    doomed.look()
    assert not doomed.is_due
    doomed.look()
    clock.now += VIEW / 2 + 1
    assert doomed.is_due
    doomed.look()
    assert cache.asked == [("get", DOOMED)] * 2


def test_nothing_is_published_by_a_list_that_is_damaged(cache: Cache, clock: Clock) -> None:
    doomed = found(cache, clock)
    cache.contents[DOOMED] = b"x"
    clock.now += VIEW + 1
    with pytest.raises(DamagedError):
        doomed.secure(OWN, ARCHIVE, REFERENCES)


def test_a_cache_that_cannot_be_collected_is_asked_for_nothing() -> None:
    cache = FaultyCache()
    for doomed in (Doomed(), Doomed(cache)):  # type: ignore[arg-type]
        doomed.look()
        doomed.note(NAMES[0], doomed.hold(NAMES))
        assert not doomed.is_due
        assert doomed.secure(OWN, ARCHIVE, REFERENCES) == 0
    assert not cache.asked


PATHS: Final = 201


def requests_of(directory: Path, *, with_collector: bool) -> Counter[str]:
    """What is asked of a cache when independent paths are pushed, by what it is for."""
    store, asked = MemoryStore(), Counter[str]()

    def count(kind: str, name: str) -> None:
        what = "narinfo" if name.endswith(".narinfo") else name.partition("/")[0] if "nar/" in name else name
        asked[f"{kind} {what}"] += 1

    def wrapped(pusher: Pusher) -> Pusher:
        assert isinstance(pusher, BinaryCache)
        return replace(pusher, doomed=Doomed(store)) if with_collector else pusher

    store.before = count
    with draining(directory, wrapped=wrapped, into=store) as it:
        it.queued(*(it.fake.add(f"path-{number}") for number in range(PATHS)))
        assert it.flush()
        assert len([*it.queue.outcomes.recorded()]) == PATHS
    return asked


def test_independent_paths_cost_one_request_more_in_all(tmp_path: Path) -> None:
    without = requests_of(tmp_path / "without", with_collector=False)
    assert requests_of(tmp_path / "with", with_collector=True) - without == Counter({f"get {DOOMED}": 1})
    assert {without[each] for each in ("get narinfo", "put narinfo", "put nar")} == {PATHS}
