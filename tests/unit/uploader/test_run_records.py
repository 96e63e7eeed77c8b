"""What a job leaves for the collector: the roots of all that it built, found and fetched, also if it built nothing."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nix_autocache.caches.run_record import DAY, RunName, RunRecord
from nix_autocache.ci.lane import Lane
from nix_autocache.nix import keys
from nix_autocache.nix.narinfo import fingerprint
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.queue import scan
from nix_autocache.system.dataclass import replace
from nix_autocache.uploader.nix_reading import NixReading
from nix_autocache.uploader.push import BinaryCache
from nix_autocache.uploader.pusher import Pusher
from nix_autocache.uploader.run_records import Fetched, Roots, RunRecords
from tests.harness.draining import draining
from tests.harness.memory_store import MemoryStore
from tests.harness.nix_daemon import FakeNix, answer
from tests.harness.object_cache import STORE, FaultyCache, base, hash_part
from tests.harness.waiting import wait_for

LANE = Lane("0123456789abcdef", "01234567")


def recorded(store: MemoryStore) -> dict[str, frozenset[str]]:
    """The roots in each record, by its name."""
    names = [name for name in store.contents if RunName.parse(name)]
    return {name: record.roots for name in names if (record := RunRecord.read(store, name))}


def recording(reading: NixReading, fetched: Callable[[], list[PathInfo]] = list) -> Callable[[Pusher], Pusher]:
    def wrap(pusher: Pusher) -> Pusher:
        assert isinstance(pusher, BinaryCache)
        return replace(pusher, reading=reading, records=RunRecords(LANE), fetched=fetched)

    return wrap


def info(number: int, *references: int) -> PathInfo:
    paths = tuple(StorePath(f"{STORE}/{base(each)}") for each in references)
    return PathInfo(StorePath(f"{STORE}/{base(number)}"), "", paths, f"sha256:{'0' * 52}", 7, "", ())


def test_of_what_was_used_the_outermost_are_roots() -> None:
    roots = Roots()
    roots.use([info(1), info(2, 1, 2), info(3, 2, 1), info(4)])
    assert roots.outermost() == {hash_part(3), hash_part(4)}


def test_narinfos_are_used_as_paths_are() -> None:
    roots, made = Roots(), FaultyCache()
    for number, references in ((1, []), (2, [1, 2])):
        roots.use_narinfo(made.objects[made.add(number, b"archive", references)[0]].decode())
    for odd in ("", "StorePath: x\n", f"References: {base(2)}\n", "StorePath: /nix/store/x\nReferences: y\n"):
        roots.use_narinfo(odd)
    assert roots.outermost() == {hash_part(2)}


def test_a_job_that_fetches_all_leaves_a_record_that_keeps_it(tmp_path: Path) -> None:
    reading, store, made = NixReading(), MemoryStore(), FaultyCache()
    for number, references in ((1, []), (2, [1])):
        name, _ = made.add(number, b"archive", references)
        reading.hear(json.dumps({"name": name, "narinfo": made.objects[name].decode()}).encode())
    with draining(tmp_path, wrapped=recording(reading), into=store) as it:
        assert it.flush()
    assert list(recorded(store).values()) == [{hash_part(2)}]


def test_what_was_built_and_what_was_there_is_recorded_once_and_under_one_name(tmp_path: Path) -> None:
    store, asked = MemoryStore(), []
    store.before = lambda kind, name: asked.append((kind, name))
    with draining(tmp_path, wrapped=recording(NixReading()), into=store) as it:
        below = it.fake.add("below")
        it.queued(first := it.fake.add("first", [below]))
        assert it.flush()
        it.queued(second := it.fake.add("second", [first]), alone := it.fake.add("alone"))
        assert it.flush()
        assert it.flush()
    assert list(recorded(store).values()) == [{StorePath(second).hash_part, StorePath(alone).hash_part}]
    puts = [name for kind, name in asked if kind == "put" and RunName.parse(name)]
    assert len(puts) in {2, 3}  # the first may be before that flush has begun, or not


def test_a_job_that_is_killed_has_left_a_record(tmp_path: Path) -> None:
    store = MemoryStore()
    with draining(tmp_path, wrapped=recording(NixReading()), into=store) as it:
        it.queued(built := it.fake.add("built"))
        wait_for(lambda: bool(recorded(store)), "the record")
    assert list(recorded(store).values()) == [{StorePath(built).hash_part}]


def test_a_first_entry_without_work_does_not_put_the_record_off(tmp_path: Path) -> None:
    store = MemoryStore()
    with draining(tmp_path, wrapped=recording(NixReading()), into=store) as it:
        it.queued(it.fake.path("gone"))
        wait_for(lambda: "gone" in it.failed(), "the entry")
        it.queued(built := it.fake.add("built"))
        wait_for(lambda: bool(recorded(store)), "the record")
    assert list(recorded(store).values()) == [{StorePath(built).hash_part}]


def test_a_machine_that_runs_for_months_leaves_a_record_a_day() -> None:
    now = 20_000 * DAY
    store, roots, records = MemoryStore(), Roots(), RunRecords(LANE, lambda: now)
    for number in range(4):
        roots.use([info(number)])
        records.write(store, roots)
        now += DAY / 2
    first, second = sorted(recorded(store).items())
    assert first[0].endswith("20241004T000000-01234567")
    assert first[1] == {hash_part(0), hash_part(1), hash_part(2)}  # the third came at midnight
    assert second[1] == {hash_part(3)}


def test_what_is_used_while_the_last_record_of_a_day_is_written_is_not_forgotten() -> None:
    now = 20_000 * DAY
    store, roots, records = MemoryStore(), Roots(), RunRecords(LANE, lambda: now)
    roots.use([info(1)])
    records.write(store, roots)
    now += DAY
    roots.use([info(2)])
    store.before = lambda kind, _: roots.use([info(3)]) if kind == "put" else None
    records.write(store, roots)
    records.write(store, roots)
    assert {each for roots in recorded(store).values() for each in roots} == set(map(hash_part, (1, 2, 3)))
    assert roots.outermost() == frozenset(), "the day is over"


def test_nothing_is_written_without_a_lane_or_a_collector() -> None:
    roots, store, unlisted = Roots(), MemoryStore(), FaultyCache()
    roots.use([info(1)])
    RunRecords().write(store, roots)
    RunRecords(LANE).write(unlisted, roots)  # type: ignore[arg-type]
    assert (store.contents, unlisted.objects) == ({}, {})


def test_where_no_proxy_reads_the_store_says_what_was_fetched(tmp_path: Path) -> None:
    store = MemoryStore()
    with draining(tmp_path, wrapped=recording(NixReading(), lambda: [info(1), info(2, 1)]), into=store) as it:
        assert it.flush()
    assert list(recorded(store).values()) == [{hash_part(2)}]


@pytest.mark.parametrize("with_key", [True, False])
def test_what_came_into_the_store_by_itself_is_found(tmp_path: Path, with_key: bool) -> None:
    fake, key, other = FakeNix(tmp_path), keys.generate("key-1"), keys.generate("key-1")
    fake.create()
    began = int(time.time())

    def add(name: str, by: keys.SecretKey | None, registered: int, ultimate: int) -> None:
        path = fake.add(name)
        digest = "0" * 52
        said = PathInfo(StorePath(path), "", (), f"sha256:{digest}", 5, "", ())
        signatures = [str(by.sign(fingerprint(said))).encode()] if by else []
        fake.says(path, answer(b"0" * 64, 5, (), signatures, registered=registered, ultimate=ultimate))

    add("ours", key, began + 1, 0)
    add("theirs", other, began + 1, 0)
    add("unsigned", None, began + 1, 0)
    for by, name in ((key, "signed"), (None, "plain")):
        add(f"old-{name}", by, began - 9, 0)
        add(f"built-{name}", by, began + 1, 1)
    (fake.store / ".links").mkdir()
    fetched = Fetched(fake.nix, began, key.public if with_key else None)
    assert [each.path.name for each in fetched()] == (["ours"] if with_key else ["unsigned"])
    assert Fetched(replace(fake.nix, store_dir=str(tmp_path / "none")), began, None)() == []


def test_of_a_large_store_only_what_is_new_is_asked_of_nix(tmp_path: Path) -> None:
    fake = FakeNix(tmp_path)
    fake.create()
    path = fake.add("one")
    made = int(os.stat(path).st_ctime)
    assert scan.changed_since(fake.nix, made) == [path]
    assert scan.changed_since(fake.nix, made + 1) == []
