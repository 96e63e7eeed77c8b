"""What a flush leaves for the next run: the index of all that was used, and never at the cost of a flush."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from nix_autocache.caches.protocol import ObjectCache
from nix_autocache.caches.run_index import RunIndex
from nix_autocache.nix.store import StorePath
from nix_autocache.nix.store_client import StoreClient
from nix_autocache.system.dataclass import replace
from nix_autocache.uploader.nix_reading import NixReading
from nix_autocache.uploader.push import BinaryCache
from nix_autocache.uploader.pusher import Pusher
from tests.harness.draining import draining
from tests.harness.waiting import wait_for

INDEX = "autocache/index/0123456789abcdef/01234567"


def indexing(pusher: Pusher) -> Pusher:
    assert isinstance(pusher, BinaryCache)
    return replace(pusher, index=INDEX)


class Together:
    """The cache, of which many objects can be asked for at once."""

    def __init__(self, cache: ObjectCache) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> object:
        return getattr(self._cache, name)

    def get_many(self, names: Sequence[str]) -> dict[str, bytes | None]:
        return {name: self._cache.get(name) for name in names}


class Settling:
    """A pusher that counts how often it is told that nothing more comes, and does what `then` does."""

    def __init__(self, pusher: Pusher) -> None:
        self._pusher = pusher
        self.settled = 0
        self.hangs = threading.Event()
        self.hangs.set()
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._pusher, name)

    def settle(self) -> None:
        self.settled += 1
        self.hangs.wait(30)
        if self.error:
            raise self.error


def test_an_index_has_what_was_pushed(tmp_path: Path) -> None:
    with draining(tmp_path, wrapped=indexing) as drained:
        drained.queued(*(drained.fake.add(name) for name in ("one", "two")))
        assert drained.flush()
        found = RunIndex.decode((drained.cache / INDEX).read_bytes()).narinfos
        assert found == {file.stem: file.read_text() for file in drained.cache.glob("*.narinfo")}
        assert drained.pushed() == {"one", "two"}


@pytest.mark.parametrize("together", [True, False])
def test_an_index_has_what_was_there_already(tmp_path: Path, *, together: bool) -> None:
    """Found by a question for many paths, or for one; and without what was not there."""
    made: list[BinaryCache] = []

    def wrapped(pusher: Pusher) -> Pusher:
        assert isinstance(pusher, BinaryCache)
        made.append(replace(pusher, index=INDEX, reading=NixReading()))
        return pusher

    with draining(tmp_path, wrapped=wrapped) as drained, StoreClient(drained.fake.nix) as store:
        one, two = StorePath(drained.fake.add("one")), StorePath(drained.fake.add("two"))
        drained.queued(one)
        assert drained.flush()
        infos = store.path_infos([one, two])
        if together:
            made[0] = replace(made[0], cache=Together(made[0].cache))  # type: ignore[arg-type]
            assert {path: found.there for path, found in made[0].ask(list(infos.values())).items()} == {
                one: True,
                two: False,
            }
        else:
            assert [made[0].find(infos[path]).there for path in (one, two)] == [True, False]
        made[0].settle()
        found = RunIndex.decode((drained.cache / INDEX).read_bytes()).narinfos
        assert list(found) == [one.hash_part]


def test_a_job_that_used_nothing_keeps_the_earlier_index(tmp_path: Path) -> None:
    with draining(tmp_path, wrapped=indexing) as drained:
        assert drained.flush()
        assert not (drained.cache / INDEX).exists()


@pytest.mark.parametrize("error", [OSError("no"), ValueError("no"), RecursionError()])
def test_an_index_that_cannot_be_written_fails_no_flush(tmp_path: Path, error: Exception) -> None:
    made: list[Settling] = []

    def wrapped(pusher: Pusher) -> Pusher:
        made.append(Settling(pusher))
        made[0].error = error
        return made[0]  # type: ignore[return-value]

    with draining(tmp_path, wrapped=wrapped) as drained:
        drained.queued(drained.fake.add("one"))
        assert drained.flush()
        assert made[0].settled == 1
        assert drained.drain.progress().trouble == ""


def test_a_flush_ends_by_its_deadline_though_the_index_hangs(tmp_path: Path) -> None:
    made: list[Settling] = []

    def wrapped(pusher: Pusher) -> Pusher:
        made.append(Settling(pusher))
        made[0].hangs.clear()
        return made[0]  # type: ignore[return-value]

    with draining(tmp_path, wrapped=wrapped) as drained:
        drained.queued(drained.fake.add("one"))
        wait_for(lambda: drained.pushed() == {"one"}, "the path")
        assert drained.flush(1.0)
        made[0].hangs.set()


def test_a_machines_uploader_leaves_its_index_from_time_to_time(tmp_path: Path) -> None:
    made: list[Settling] = []

    def wrapped(pusher: Pusher) -> Pusher:
        made.append(Settling(pusher))
        return made[0]  # type: ignore[return-value]

    with draining(tmp_path, wrapped=wrapped, maintenance_interval=0.05) as drained:
        wait_for(lambda: made[0].settled > 2, "the index")
        before = made[0].settled
        wait_for(lambda: made[0].settled > before, "the next one")
        assert drained.flush()
