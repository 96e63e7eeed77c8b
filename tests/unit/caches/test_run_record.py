"""Run records and pins: what is written comes back, and what is odd keeps nothing, or is an error, never a crash."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.caches import run_codec
from nix_autocache.caches.run_codec import MOST_ROOTS
from nix_autocache.caches.run_record import (
    DAY,
    DamagedPinError,
    Pin,
    Revision,
    RunName,
    RunRecord,
    pin_name,
    pin_object,
)
from nix_autocache.ci.lane import Lane
from nix_autocache.errors import CacheError, InputError
from tests.harness.object_cache import FaultyCache, base, hash_part
from tests.harness.soak import seeds

LANE = Lane("0123456789abcdef", "89abcdef")
AT = 1_764_160_496.0


def read(packed: bytes) -> RunRecord | None:
    return RunRecord.read(FaultyCache({"x": packed}), "x")  # type: ignore[arg-type]


def read_pin(packed: bytes) -> Pin | None:
    return Pin.read(FaultyCache({"x": packed}), "x")  # type: ignore[arg-type]


def test_a_record_comes_back() -> None:
    record = RunRecord(frozenset(map(hash_part, range(300))))
    assert read(record.encode()) == record
    assert read(RunRecord(frozenset()).encode()) == RunRecord(frozenset())
    assert RunRecord.read(FaultyCache(), "x") is None  # type: ignore[arg-type]


def test_the_name_has_scope_time_and_lane() -> None:
    name = str(RunName(LANE, AT))
    assert name == "autocache/runs/0123456789abcdef/20251126T123456-89abcdef"
    assert RunName.parse(name) == RunName(LANE, AT)


@pytest.mark.parametrize("odd", ["", "x/", "20259926T123456-89abcdef", "20251126T123456-89abcdef/x", "20251126T123456"])
def test_another_name_is_no_records(odd: str) -> None:
    assert RunName.parse(f"autocache/runs/0123456789abcdef/{odd}") is None


def test_of_too_many_roots_some_are_written() -> None:
    found = read(RunRecord(frozenset(map(hash_part, range(MOST_ROOTS + 5)))).encode())
    assert found
    assert len(found.roots) == MOST_ROOTS


def test_lines_that_are_no_hash_part_are_left_out() -> None:
    text = f"x\n{hash_part(1)}\n\n{hash_part(2)} {hash_part(3)}\n{'e' * 32}\n{'0' * 33}\n"
    assert read(run_codec.pack({"kind": "run"}, text)) == RunRecord(frozenset([hash_part(1)]))


@pytest.mark.parametrize("packed", [b"", b"x", run_codec.pack({"kind": "index"}, ""), run_codec.pack({}, "")])
def test_what_is_no_record_is_an_error(packed: bytes) -> None:
    with pytest.raises(CacheError):
        read(packed)
    with pytest.raises(CacheError):
        read_pin(packed)


def test_a_pin_comes_back() -> None:
    pin = Pin((), 1).added([base(1), base(2)], AT, 3, 7).added([base(3)], AT + 5, 3, 7)
    assert pin == Pin((Revision(AT + 5, (base(3),)), Revision(AT, (base(1), base(2)))), 3, 7)
    assert read_pin(pin.encode()) == pin
    assert read_pin(Pin((), 1).encode()) == Pin((), 1)


def test_a_pin_keeps_its_latest_revisions_for_its_days() -> None:
    pin = Pin((), 1)
    for number in range(4):
        pin = pin.added([base(number)], AT + number * DAY, 3, 5)
    assert pin.roots(AT + 3 * DAY) == {hash_part(1), hash_part(2), hash_part(3)}
    assert pin.roots(AT + 6 * DAY) == {hash_part(2), hash_part(3)}
    assert pin.roots(AT + 8 * DAY) == frozenset()
    assert pin.added([base(9)], AT, 1, None).roots(AT + 10_000 * DAY) == {hash_part(9)}


@pytest.mark.parametrize(
    "text", ["x\n", "1 x\n", f"1  {base(1)}\n", f"-1 {base(1)}\n", "\n", f"{'9' * 30} {base(1)}\n"]
)
def test_a_damaged_revision_is_an_error(text: str) -> None:
    with pytest.raises(CacheError, match="damaged"):
        read_pin(run_codec.pack({"kind": "pin", "keep_revisions": 1, "keep_days": None}, text))


@pytest.mark.parametrize(
    "head", [{}, {"keep_revisions": 0}, {"keep_revisions": True}, {"keep_days": "x"}, {"keep_days": 0}]
)
def test_damaged_limits_are_an_error(head: dict[str, object]) -> None:
    known = {"kind": "pin", "keep_revisions": 1, "keep_days": None} if head else {"kind": "pin"}
    with pytest.raises(DamagedPinError, match="unpin"):
        read_pin(run_codec.pack({**known, **head}, ""))


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "a b", "x" * 101, "ä", "a\n"])
def test_a_pin_needs_a_plain_name(name: str) -> None:
    with pytest.raises(InputError, match="name of a pin"):
        pin_object(name)
    assert pin_name(f"autocache/pins/{name}") is None


def test_the_object_of_a_pin_says_its_name() -> None:
    assert pin_name(pin_object("release-1.0")) == "release-1.0"
    assert pin_name("autocache/runs/release") is None


@pytest.mark.soak
@settings(max_examples=seeds(500))
@given(st.text(), st.dictionaries(st.sampled_from(["kind", "keep_revisions", "keep_days"]), st.integers() | st.text()))
def test_whatever_is_written_there_is_read_or_refused(text: str, head: dict[str, object]) -> None:
    for kind in ("run", "pin"):
        packed = run_codec.pack({**head, "kind": kind}, text)
        try:
            read(packed) if kind == "run" else read_pin(packed)
        except CacheError:
            continue
