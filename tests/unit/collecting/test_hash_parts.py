"""The table of hash parts against a dict, and what it takes."""

import random
import tracemalloc

import pytest

from nix_autocache.collecting.hash_parts import BYTES, HashParts


@pytest.mark.parametrize("seed", range(20))
def test_each_has_the_number_in_whose_order_it_was_added(seed: int) -> None:
    chosen = random.Random(seed)
    parts, expected = HashParts(), dict[int, int]()
    some = [chosen.getrandbits(8 * BYTES) for _ in range(chosen.choice([1, 7, 8, 9, 500]))]
    for _ in range(4 * len(some)):
        each = chosen.choice(some)
        assert parts.find(each) == expected.get(each)
        assert (each in parts) == (each in expected)
        assert parts.add(each) == expected.setdefault(each, len(expected))
    assert len(parts) == len(expected)
    again = HashParts(bytearray(b"".join(parts[number] for number in range(len(parts)))))
    for each in some:
        assert again.find(each) == parts.find(each) == expected.get(each)
        assert again.find(each ^ 1) is expected.get(each ^ 1)


def test_numbers_at_both_ends_are_found() -> None:
    parts = HashParts()
    assert parts.find(0) is None
    assert [parts.add(each) for each in (0, (1 << 8 * BYTES) - 1, 0)] == [0, 1, 0]


@pytest.mark.parametrize("wrong", [bytes(2 * BYTES), bytes(BYTES + 1), b"x"])
def test_what_is_there_twice_or_cut_off_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"there twice|not whole"):
        HashParts(bytearray(wrong))


def test_it_takes_less_than_half_of_a_dict() -> None:
    count, chosen = 10_000, random.Random(0)
    tracemalloc.start()
    try:
        parts = HashParts()
        for _ in range(count):
            parts.add(chosen.getrandbits(8 * BYTES))
        assert tracemalloc.get_traced_memory()[1] < 70 * count
    finally:
        tracemalloc.stop()
