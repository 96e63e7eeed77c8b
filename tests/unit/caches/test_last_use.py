"""A cache that must fit into a size loses what was unused for longest, and stays closed."""

import random

import pytest

from nix_autocache.caches.last_use import Stored, last_uses, referrers_first, surplus
from tests.harness.soak import seeds

LIBRARY, PROGRAM, OTHER = range(3)


def stored(references: list[list[int]], used: list[float], archives: list[int] | None = None) -> Stored:
    """Paths of 1 byte, with archives of 9."""
    numbers = archives or list(range(len(used)))
    sizes = [9] * (max(numbers) + 1)
    return Stored(references=references, used=used, sizes=[1] * len(used), archives=numbers, archive_sizes=sizes)


def test_a_path_was_used_when_its_referrers_were() -> None:
    references = [[], [LIBRARY], [PROGRAM, OTHER]]
    assert list(last_uses(referrers_first(references), references, [1.0, 5.0, 3.0])) == [5.0, 5.0, 3.0]
    assert surplus(stored([[], [LIBRARY], []], [1.0, 5.0, 3.0]), 20) == [OTHER]


def test_nothing_goes_that_fits_and_everything_where_nothing_does() -> None:
    two = stored([[], []], [1.0, 2.0])
    assert surplus(two, 20) == []
    assert surplus(two, 19) == [0]
    assert surplus(two, 0) == [0, 1]


def test_an_archive_goes_with_the_last_path_that_has_it() -> None:
    assert surplus(stored([[], [], []], [1.0, 2.0, 3.0], [0, 0, 1]), 12) == [0, 1]


def test_a_circle_ends_nothing() -> None:
    assert sorted(referrers_first([[1], [2], [1], [0]])) == [0, 1, 2, 3]


@pytest.mark.soak
def test_what_is_left_of_any_cache_is_closed_and_fits() -> None:
    for seed in range(seeds(1000)):
        choose = random.Random(seed)
        count = choose.randrange(1, 12)
        references = [choose.sample(range(path + 1), choose.randrange(min(path + 1, 4))) for path in range(count)]
        shared = [choose.randrange(count) for _ in range(count)]
        cache = stored(references, [choose.randrange(4) for _ in range(count)], [*shared[:-1], count - 1])
        limit = choose.randrange(10 * count)
        gone = surplus(cache, limit)
        for number in range(len(gone) + 1):  # also while it is removed
            left = set(range(count)) - set(gone[:number])
            assert all(set(references[path]) <= left for path in left), seed
        size = len(left) + 9 * len({cache.archives[path] for path in left})
        assert size <= limit, seed
