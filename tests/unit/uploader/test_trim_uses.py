"""When a job's uses are recorded in an embedded cache, and that it is left alone otherwise.

A runner packs and uploads all of it again for one file or directory with a new time.
"""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.uploader.trim import trim
from tests.harness.embedded import info
from tests.harness.paths import Known
from tests.harness.samples import Nothing, narinfo
from tests.harness.soak import seeds

HOUR = 3600.0  # seconds
DAY = 24 * HOUR
LARGE = 10**6  # bytes: more than all that is here


def using(letters: Iterable[str]) -> Known:
    """A store that has the paths with these letters."""
    return Known(*map(info, letters))


def kept(directory: Path, ages: Mapping[str, float]) -> Path:
    """A cache with narinfos by letter, of which each was used that many seconds ago."""
    cache = directory / "kept/cache"
    for letter in ages:
        narinfo(cache, letter)
    for letter, age in ages.items():
        used = time.time() - age
        os.utime(cache / f"{letter * 32}.narinfo", (used, used))
    return cache


def found(cache: Path) -> dict[str, tuple[int, int]]:
    """The size and time of everything in a cache, by its name."""
    every = {path: path.lstat() for path in (cache, *cache.rglob("*"))}
    return {str(path): (status.st_size, status.st_mtime_ns) for path, status in every.items()}


def ages(cache: Path) -> dict[str, float]:
    """How many seconds ago each path was used, as it is recorded."""
    now = time.time()
    return {file.name[0]: now - file.stat().st_mtime for file in cache.glob("*.narinfo")}


def test_a_job_that_built_nothing_changes_nothing(tmp_path: Path) -> None:
    cache = kept(tmp_path, {"a": HOUR, "b": 23 * HOUR, "c": 100 * DAY})
    before = found(cache)
    for used in ("ab", "a", ""):
        assert trim(cache, LARGE, using(used), time.time()) == 0
        assert found(cache) == before


def test_when_one_use_is_older_than_a_day_all_are_recorded_and_then_none(tmp_path: Path) -> None:
    """Or each path would have an upload of its own every day."""
    cache = kept(tmp_path, {"a": HOUR, "b": 25 * HOUR, "c": 100 * DAY})
    trim(cache, LARGE, using("ab"), time.time())
    assert {letter for letter, age in ages(cache).items() if age < HOUR / 2} == {"a", "b"}
    before = found(cache)
    trim(cache, LARGE, using("ab"), time.time())
    assert found(cache) == before


def test_a_job_that_added_something_records_its_uses(tmp_path: Path) -> None:
    began = time.time() - HOUR
    cache = kept(tmp_path, {"a": HOUR / 2, "b": 2 * HOUR, "c": 2 * HOUR})
    trim(cache, LARGE, using("ab"), began)
    assert {letter for letter, age in ages(cache).items() if age < HOUR} == {"a", "b"}
    assert ages(cache)["a"] < HOUR / 4


def test_a_time_in_the_future_is_corrected_once(tmp_path: Path) -> None:
    """It would be newer than every archive, and its path never the oldest."""
    cache = kept(tmp_path, {"a": HOUR, "f": -(10 * DAY)})
    trim(cache, LARGE, using("a"), time.time())
    assert abs(ages(cache)["f"]) < HOUR
    before = found(cache)
    trim(cache, LARGE, using("a"), time.time())
    assert found(cache) == before


def test_what_is_used_daily_outlives_what_was_not_used_for_weeks(tmp_path: Path) -> None:
    cache = kept(tmp_path, {"d": 0, "w": 0})
    for _ in range(21):
        later(cache, DAY - HOUR)
        trim(cache, LARGE, using("d"), time.time())
    one = (cache / f"{'d' * 32}.narinfo").stat().st_size + (cache / "nar/d.nar").stat().st_size
    assert trim(cache, one, Nothing(), time.time()) == 1
    assert list(ages(cache)) == ["d"]


def later(cache: Path, seconds: float) -> None:
    """Make everything in the cache so much older."""
    for path in (cache, *cache.rglob("*")):
        used = path.lstat().st_mtime - seconds
        os.utime(path, (used, used))


JOBS = st.lists(st.tuples(st.floats(0, 60), st.sets(st.sampled_from("abc"))), max_size=12)


@settings(max_examples=seeds(40), deadline=None)
@given(JOBS)
def test_what_is_recorded_is_never_more_than_a_day_older_than_the_use(jobs: list[tuple[float, set[str]]]) -> None:
    """Whatever jobs use what, any number of hours after each other; and it is never newer."""
    with TemporaryDirectory() as name:
        cache = kept(Path(name), {"a": 0, "b": 0, "c": 0})
        unused = dict.fromkeys("abc", 0.0)
        for hours, letters in jobs:
            later(cache, hours * HOUR)
            trim(cache, LARGE, using(letters), time.time())
            unused = {each: 0.0 if each in letters else since + hours * HOUR for each, since in unused.items()}
            for each, age in ages(cache).items():
                assert unused[each] - HOUR < age < unused[each] + DAY + HOUR
