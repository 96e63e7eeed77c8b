"""A whole cache is signed with a new key: in few requests, again after it was ended, and without its archives."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from nix_autocache.caches.directory import open_directory
from nix_autocache.caches.doomed_list import CLAIMS, DoomedList, Keys, encode_begun
from nix_autocache.caches.object_store import ObjectStoreCache
from nix_autocache.caches.protocol import Access, Body, Collectable, Content
from nix_autocache.caches.run_index import RunIndex
from nix_autocache.errors import CacheBusy, CacheError, CredentialsError, Error
from nix_autocache.nix import keys
from nix_autocache.nix.store import Nix
from nix_autocache.nix.store_url import of_directory
from nix_autocache.uploader.resigning import Counts, Resigning
from nix_autocache.uploader.rotation import Rotation, What
from tests.harness.object_cache import STORE, FaultyCache, hash_part

OLD, NEW = keys.generate("cache-1"), keys.generate("cache-2")
ROTATION = Rotation(new=NEW, old=[OLD.public], store_dir=STORE)
INDEX = "autocache/index/0123456789abcdef/01234567"


@Collectable.register
class CountingCache:
    """A cache in a directory that counts its requests, and refuses what it is told to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.inner: ObjectStoreCache = open_directory(of_directory(directory), Access({}, Nix(Path("/")), None))
        self.asked: Counter[tuple[str, str]] = Counter()
        self.refusals: dict[str, list[Error]] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def get(self, name: str) -> bytes | None:
        self.asked["get", name] += 1
        return self.inner.get(name)

    def open(self, name: str) -> Content | None:
        self.asked["get", name] += 1
        return self.inner.open(name)

    def put(self, name: str, body: Body, content_type: str) -> None:
        self.asked["put", name] += 1
        if self.refusals.get(name):
            raise self.refusals[name].pop(0)
        self.inner.put(name, body, content_type)

    def sign(self, rotation: Rotation = ROTATION, *, dry_run: bool = False) -> Counts:
        self.asked.clear()
        return Resigning(self, rotation, lambda _: None, dry_run=dry_run).run(self.inner.names())  # type: ignore[arg-type]


def filled(directory: Path, count: int) -> CountingCache:
    """A cache of so many paths, signed with the old key."""
    made = FaultyCache()
    for number in range(count):
        made.add(number, f"archive {number}".encode(), [number - 1] if number else [], OLD)
    for name, content in made.objects.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (directory / "nix-cache-info").write_text(f"StoreDir: {STORE}\n")
    return CountingCache(directory)


def stamps(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_two_thousand_paths_take_two_requests_each_and_their_archives_none(tmp_path: Path) -> None:
    cache = filled(tmp_path, 2000)
    archives = stamps(tmp_path / "nar")
    counts = cache.sign()
    assert counts.paths == {What.SIGNED: 2000}
    assert cache.asked.total() == 4001, "one for what a collector has announced"
    assert not any("nar/" in name for _, name in cache.asked)
    assert stamps(tmp_path / "nar") == archives
    everything = stamps(tmp_path)
    assert cache.sign().paths == {What.THERE: 2000}
    assert cache.asked.total() == 2001
    assert stamps(tmp_path) == everything


def test_it_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    cache = filled(tmp_path, 50)
    cache.refusals = {f"{hash_part(30)}.narinfo": [CredentialsError("the token expired")]}
    with pytest.raises(CredentialsError):
        cache.sign()
    counts = cache.sign()
    assert counts.paths.total() == 50
    assert counts.paths[What.SIGNED] == sum(count for (verb, _), count in cache.asked.items() if verb == "put") >= 1
    assert cache.sign().paths == {What.THERE: 50}


def test_one_that_is_refused_holds_nothing_back_and_a_busy_cache_is_asked_again(tmp_path: Path) -> None:
    cache = filled(tmp_path, 20)
    cache.refusals = {
        f"{hash_part(3)}.narinfo": [CacheError("413 too large")],
        f"{hash_part(4)}.narinfo": [CacheBusy("503"), CacheBusy("503")],
    }
    counts = cache.sign()
    assert counts.paths == {What.SIGNED: 19}
    assert (counts.failed, counts.why) == (1, "413 too large")


def test_what_is_forged_or_cut_is_counted_and_left_alone(tmp_path: Path) -> None:
    cache = filled(tmp_path, 5)
    forged, cut, lost = (tmp_path / f"{hash_part(number)}.narinfo" for number in range(3))
    forged.write_bytes(forged.read_bytes().replace(b"NarSize: 9", b"NarSize: 8"))
    cut.write_bytes(cut.read_bytes()[:100])
    lost.write_bytes(b"")
    before = [forged.read_bytes(), cut.read_bytes(), lost.read_bytes()]
    counts = cache.sign()
    assert counts.paths == {What.SIGNED: 2, What.UNCOVERED: 1, What.DAMAGED: 2}
    assert [forged.read_bytes(), cut.read_bytes(), lost.read_bytes()] == before


def test_run_indexes_are_signed_and_damaged_ones_left(tmp_path: Path) -> None:
    cache = filled(tmp_path, 3)
    texts = [(tmp_path / f"{hash_part(number)}.narinfo").read_text() for number in range(3)]
    texts[2] = texts[2].replace("NarSize: 9", "NarSize: 8")
    (tmp_path / INDEX).parent.mkdir(parents=True)
    (tmp_path / INDEX).write_bytes(RunIndex.of(texts).encode())
    (tmp_path / f"{INDEX}-cut").write_bytes(RunIndex.of(texts).encode()[:-5])
    counts = cache.sign()
    assert counts.indexes == 2
    read = RunIndex.decode((tmp_path / INDEX).read_bytes())
    assert [f"Sig: {NEW.name}:" in text for text in read.narinfos.values()] == [True, True, False]
    assert cache.asked["put", f"{INDEX}-cut"] == 0
    cache.sign()
    assert cache.asked["put", INDEX] == 0


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path) -> None:
    cache = filled(tmp_path, 3)
    before = stamps(tmp_path)
    assert cache.sign(dry_run=True).paths == {What.SIGNED: 3}
    assert stamps(tmp_path) == before


def test_a_listing_is_read_no_faster_than_it_is_worked_off(tmp_path: Path) -> None:
    """Of many names only some hundred wait."""
    cache = filled(tmp_path, 1)
    listed, first = 0, threading.Event()

    def names() -> Iterator[str]:
        nonlocal listed
        for _ in range(2000):
            listed += 1
            yield f"{hash_part(0)}.narinfo"

    def tell(counts: Counts) -> None:
        if not first.is_set():
            first.set()
            assert listed < 500
        assert listed - counts.paths.total() < 500

    Resigning(cache, ROTATION, tell).run(names())  # type: ignore[arg-type]
    assert first.is_set()


def announce(directory: Path, name: str) -> None:
    folder = directory / "autocache/gc"
    folder.mkdir(parents=True)
    (folder / "doomed").write_bytes(DoomedList(7, 0, True, Keys.of([name])).encode())


def test_what_a_collector_is_deleting_is_not_written_again(tmp_path: Path) -> None:
    """Its archive goes as well, and what it refers to."""
    cache, doomed = filled(tmp_path, 1), f"{hash_part(0)}.narinfo"
    announce(tmp_path, doomed)
    (tmp_path / "autocache/gc/begun").write_bytes(encode_begun(7))
    counts = cache.sign()
    assert (counts.paths[What.SIGNED], counts.failed) == (0, 1)
    assert cache.asked["put", doomed] == 0


def test_what_a_collector_will_delete_is_claimed_before_it_is_read(tmp_path: Path) -> None:
    cache, doomed = filled(tmp_path, 1), f"{hash_part(0)}.narinfo"
    announce(tmp_path, doomed)
    assert cache.sign(dry_run=True).paths == {What.SIGNED: 1}
    assert not (tmp_path / CLAIMS).exists()
    assert cache.sign().paths == {What.SIGNED: 1}
    asked = [name for kind, name in cache.asked if (kind == "put" and name.startswith(CLAIMS)) or name == doomed]
    assert asked[0].startswith(f"{CLAIMS}/7-")
