"""The end of a pack: what was written is read again, and what is wrong anywhere is not read at all."""

import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.caches import run_codec
from nix_autocache.caches.actions import trailer
from nix_autocache.caches.actions.index import Entry, Head, Index, narinfo, realisation
from nix_autocache.caches.actions.keys import Place
from nix_autocache.caches.actions.trailer import decode, encode, read
from nix_autocache.ci.lane import Lane
from nix_autocache.errors import CacheError
from nix_autocache.nix import keys
from tests.harness import actions
from tests.harness.actions import Job, Repository, Stored, scope_of
from tests.harness.soak import seeds
from tests.harness.strategies import texts

MAIN = scope_of("main")
KEY = Place(Lane(MAIN, "0" * 8), actions.SYSTEM).new_key({})
FOOTER = 16
HEADS = {"01234567": Head("1-1-a", 9)}


def index(count: int, key: keys.SecretKey | None = None) -> Index:
    items = {}
    for number in range(count):
        item = narinfo(actions.narinfo(number, os.urandom(90), range(max(0, number - 3), number), key).decode())
        assert item
        items[item.name] = item.at(KEY, number * 90)
    return Index({KEY: Entry(90 * count, 1_800_000_000, 20_000)}, items, HEADS)


def body(whole: Index) -> bytes:
    return encode(whole)[:-FOOTER]


def text_of(whole: Index) -> str:
    return run_codec.unpack([body(whole)])[1]


def packed(text: str, **head: object) -> bytes:
    return run_codec.pack({"kind": "actions", "heads": {}, **head}, text)


def test_what_is_encoded_is_decoded() -> None:
    whole = index(50)
    done = realisation(f"realisations/sha256:{'0' * 64}!out.doi", f'{{"outPath":"{actions.base(1)}"}}\n')
    assert done
    whole = Index(whole.entries, {**whole.items, done.name: done}, whole.heads)
    assert decode([body(whole)]) == whole
    assert decode([body(Index(heads=HEADS))]) == Index(heads=HEADS)
    alone = Index(items={done.name: done})
    assert decode([body(alone)]) == alone


def test_a_path_takes_at_most_200_bytes_with_its_signature() -> None:
    assert len(encode(index(300, keys.generate("ours-1")))) < 300 * 200


def test_entries_without_archives_and_the_oldest_heads_are_left_out() -> None:
    heads = {f"{number:08x}": Head("1-1-a", number) for number in range(600)}
    found = decode([body(Index({KEY: Entry(1, 1, 1)}, {}, heads))])
    assert found.entries == {}
    assert set(found.heads) == {f"{number:08x}" for number in range(100, 600)}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(KEY, f"{KEY}/x"),
        lambda text: text.replace(KEY, "../../secret"),
        lambda text: text.replace("\n\n", f"\n{KEY} 9 9 9\n\n", 1),
        lambda text: text.replace(" 20000\n", "\n", 1),
        lambda text: text.replace(" 20000\n", " -1\n", 1),
        lambda text: text.replace("\n0 90\n", "\n1 90\n"),
        lambda text: text.replace("\n0 90\n", "\n0 181\n"),
        lambda text: text.replace("\n0 90\n", "\n0 99999999999999999999\n"),
        lambda text: text.replace("\n0 90\n", "\n0\n"),
        lambda text: text.replace("FileSize: 90", "FileSize: 9e9"),
        lambda text: text.replace("FileSize: 90", "FileSize: 91"),
        lambda text: text.replace("URL: nar/", "URL: http://elsewhere/", 1),
        lambda text: text.replace("StorePath", "Path", 1),
        lambda text: f"{text}{text.split(chr(10) * 2, 1)[1]}",
        lambda text: text[:-1],
        lambda text: f"{text}x",
        lambda text: text.replace("\n\n", "\n\n\n"),
    ],
)
def test_a_wrong_text_is_not_read(change: Callable[[str], str]) -> None:
    text = text_of(index(3))
    assert decode([packed(text)])
    assert change(text) != text
    with pytest.raises(CacheError):
        decode([packed(change(text))])


@pytest.mark.parametrize(
    "heads",
    [None, [], "x", {"0": "1-1-a 9"}, {"01234567": 1}, {"01234567": "1-1-a"}, {"01234567": "A 9"},
     {"01234567": "a 9 9"}, {f"{number:08x}": "a 9" for number in range(501)}],
)  # fmt: skip
def test_wrong_heads_are_not_read(heads: object) -> None:
    with pytest.raises(CacheError):
        decode([packed("", heads=heads)])


def test_an_object_of_another_kind_is_not_read() -> None:
    with pytest.raises(CacheError):
        decode([packed("", kind="index")])


def stored(content: bytes, *, ignores_ranges: bool = False) -> tuple[Job, Repository]:
    repository = Repository(entries=[Stored(MAIN, KEY, content, 0)])
    return Job(repository, [MAIN], ignores_ranges=ignores_ranges), repository


def read_from(job: Job) -> Index | None:
    located = job.find([KEY])
    assert located
    part = job.read(located.url, 0, 1)
    assert part
    return read(job, located, part)


@pytest.mark.parametrize("ignores_ranges", [False, True])
@pytest.mark.parametrize("size", [0, 100, 300_000])
def test_the_index_at_the_end_of_a_pack_is_read(
    size: int, ignores_ranges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = index(60)
    job, _ = stored(os.urandom(size) + encode(whole), ignores_ranges=ignores_ranges)
    assert read_from(job) == whole
    monkeypatch.setattr(trailer, "_GUESS", 100)
    assert read_from(job) == whole


def test_a_pack_that_goes_while_it_is_read_has_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    job, repository = stored(encode(index(3)))
    located = job.find([KEY])
    assert located
    part = job.read(located.url, 0, 1)
    assert part
    repository.evict(KEY)
    assert read(job, located, part) is None


@pytest.mark.parametrize(
    "end",
    [b"", b"x", b"nixacpk1", bytes(16), bytes(8) + b"nixacpk1", b"\xff" * 8 + b"nixacpk1",
     (10**6).to_bytes(8, "big") + b"nixacpk1"],
)  # fmt: skip
@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_what_does_not_end_like_a_pack_is_none(end: bytes, ignores_ranges: bool) -> None:
    job, _ = stored(b"x" + end, ignores_ranges=ignores_ranges)
    with pytest.raises(CacheError):
        read_from(job)


WHOLE = body(index(4))
TEXT = text_of(index(4))


@pytest.mark.soak
@settings(max_examples=seeds(1000))
@given(
    st.binary(max_size=100)
    | st.tuples(st.integers(0, len(WHOLE)), st.binary(max_size=4)).map(
        lambda change: WHOLE[: change[0]] + change[1] + WHOLE[change[0] + len(change[1]) :]
    )
    | texts(TEXT.encode()).map(lambda text: packed(text.decode("utf-8", "replace")))
)
def test_any_bytes_are_an_index_within_its_bounds_or_an_error_of_ours(content: bytes) -> None:
    try:
        found = decode([content])
    except CacheError:
        return
    for name, item in found.items.items():
        assert item.name == name
        assert not item.archive or item.offset + item.size <= found.entries[item.entry].size
    assert decode([body(found)]).items.keys() == found.items.keys()
