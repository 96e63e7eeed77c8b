"""The run index: what it holds comes back, what it must not hold is never written, and what is odd is left out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.caches import run_codec, run_index
from nix_autocache.caches.run_index import RunIndex
from nix_autocache.ci.lane import Lane
from nix_autocache.errors import CacheError
from nix_autocache.nix import keys
from nix_autocache.nix.narinfo import render
from nix_autocache.nix.store import PathInfo, StorePath
from tests.harness.object_cache import FaultyCache
from tests.harness.samples import FILE, INFO, KEY, OTHERS, PATH, SIGNED, UNSIGNED
from tests.harness.soak import seeds
from tests.harness.strategies import texts


def narinfo(number: int, key: keys.SecretKey | None = KEY, store_dir: str = "/nix/store") -> str:
    path = StorePath(f"{store_dir}/{number:032d}-path")
    return render(PathInfo(path, "", (), f"sha256:{'0' * 52}", 120, "", ()), FILE, key)


def test_what_is_encoded_is_decoded_in_the_same_order() -> None:
    index = RunIndex.of(narinfo(number) for number in range(100))
    assert len(index.narinfos) == 100
    assert list(RunIndex.decode(index.encode()).narinfos.items()) == list(index.narinfos.items())
    assert RunIndex.decode(RunIndex({}).encode()) == RunIndex({})


def test_a_name_for_each_scope_and_lane() -> None:
    assert Lane("0123456789abcdef", "01234567").index == "autocache/index/0123456789abcdef/01234567"


def test_signatures_of_job_keys_are_never_written() -> None:
    job = keys.generate_job_key()
    both = SIGNED + f"Sig: {job.sign(b'x')}\n"
    only = narinfo(1, None) + f"Sig: {job.sign(b'x')}\n"
    (decoded,) = RunIndex.decode(RunIndex.of([both, only]).encode()).narinfos.values()
    assert decoded == SIGNED


def test_what_nobody_signed_is_not_written() -> None:
    assert RunIndex.decode(RunIndex.of([UNSIGNED]).encode()) == RunIndex({})


def test_of_too_many_the_first_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_index, "LARGEST", 10 * (len(narinfo(0)) + 1) + 3)
    index = RunIndex.of(narinfo(number) for number in range(30))
    assert list(RunIndex.decode(index.encode()).narinfos) == list(index.narinfos)[:10]


def test_the_largest_index_is_read() -> None:
    long = narinfo(1)[:-1] + " " * (60_000 - len(narinfo(1))) + "\n"
    index = RunIndex({f"{number:032d}": long.replace(f"{1:032d}", f"{number:032d}") for number in range(200)})
    assert 100 < len(RunIndex.decode(index.encode()).narinfos) < 110


def test_of_two_for_one_path_the_first_counts() -> None:
    other = render(INFO, FILE, OTHERS)
    assert list(RunIndex.of([SIGNED, other]).narinfos.values()) == [SIGNED]


@pytest.mark.parametrize(
    "odd",
    ["", "\n", "x\n", "StorePath: /nix/store/x\n", "StorePath: a\nStorePath: b\n", f"{SIGNED}StorePath: {PATH}\n",
     f"{SIGNED}{'x' * 70_000}\n", "StorePath: \u2028\n"],
)  # fmt: skip
def test_what_names_no_path_is_left_out(odd: str) -> None:
    packed = run_codec.pack({"kind": "index"}, f"{odd}\n{narinfo(1)}\n{odd}\n{narinfo(2)}\n")
    assert list(RunIndex.decode(packed).narinfos.values()) == [narinfo(1), narinfo(2)]


def test_an_object_of_another_kind_is_no_index() -> None:
    with pytest.raises(CacheError):
        RunIndex.decode(run_codec.pack({"kind": "run"}, f"{SIGNED}\n"))
    with pytest.raises(CacheError):
        RunIndex.decode(run_codec.pack({}, f"{SIGNED}\n"))


def test_an_index_is_read_from_a_cache() -> None:
    name = Lane("0" * 16, "1" * 8).index
    cache = FaultyCache({name: RunIndex.of([SIGNED]).encode()})
    assert RunIndex.read(cache, name) == RunIndex({PATH.hash_part: SIGNED})  # type: ignore[arg-type]
    assert RunIndex.read(cache, f"{name}x") is None  # type: ignore[arg-type]


@pytest.mark.soak
@settings(max_examples=seeds(500))
@given(st.lists(texts(SIGNED.encode()), max_size=5))
def test_a_damaged_narinfo_leaves_the_others(odd: list[bytes]) -> None:
    """As long as it has no path of its own, and no part of it looks like the others'."""
    text = "".join(f"{each.decode('utf-8', 'replace')}\n\n" for each in odd)
    packed = run_codec.pack({"kind": "index"}, f"{text}{narinfo(1)}\n{text}{narinfo(2)}\n")
    found = RunIndex.decode(packed).narinfos
    assert {f"{number:032d}" for number in (1, 2)} <= found.keys()
    assert all(hash_part in each for hash_part, each in found.items())
