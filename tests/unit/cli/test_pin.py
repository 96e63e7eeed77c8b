"""`pin`, `unpin` and `pins` by their command line, on a directory; what is pinned survives `gc`."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.harness.collected import DAY, add, daily, narinfo, narinfos, part
from tests.harness.memory_store import MemoryStore

from nix_autocache.caches.doomed_list import BEGUN, DOOMED, DoomedList, Keys, encode_begun
from nix_autocache.cli.main import main
from nix_autocache.collecting import pins
from nix_autocache.errors import Error


@pytest.fixture
def store() -> MemoryStore:
    """2 -> 1, 3 -> 1, and 4; all of 40 days ago."""
    store = MemoryStore()
    for number, references in ((1, []), (2, [1]), (3, [1]), (4, [])):
        add(store, number, references)
    store.now += 40 * DAY
    return store


def path(number: int) -> str:
    return f"/nix/store/{part(number)}-path-{number}"


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_is_pinned_is_listed_until_it_is_unpinned(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pin", "release", path(4), path(2), "--keep-days", "7", "--keep-revisions", "2"]) == 0
    assert main(["pin", "release", path(1), "--keep-revisions", "2"]) == 0
    capsys.readouterr()
    newest, older = printed(capsys, "pins")
    assert (newest["name"], newest["until"], newest["paths"]) == ("release", None, [path(1)[11:]])
    assert older["paths"] == [path(4)[11:], path(2)[11:]]
    assert main(["unpin", "release"]) == 0
    assert printed(capsys, "pins") == []
    assert list(cache.glob("autocache/pins/*")) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pin", "x", path(9)], "is not in the cache; push it first"),
        (["pin", "a/b", path(1)], "is no name of a pin"),
        (["pin", "x", "./result"], "no store path|not in /nix/store"),
        (["pin", "x", path(1), "--keep-days", "0"], "at least 1"),
        (["unpin", "x"], "there is no pin x"),
    ],
)
def test_what_cannot_be_pinned_is_said_in_one_line(
    cache: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert any(part in captured.out + captured.err for part in said.split("|"))
    assert list(cache.glob("autocache/pins/*")) == []


def test_a_pin_keeps_its_paths_and_what_they_refer_to(store: MemoryStore) -> None:
    pins.pin(store, "release", [path(3)[11:]])
    daily(store, 3)
    assert narinfos(store) == {narinfo(1), narinfo(3)}
    pins.unpin(store, "release")
    daily(store, 3)
    assert narinfos(store) == set()


def test_what_is_being_deleted_cannot_be_pinned(store: MemoryStore) -> None:
    store.contents[DOOMED] = DoomedList(3, 0, True, Keys.of([narinfo(4)])).encode()
    store.contents[BEGUN] = encode_begun(3)
    with pytest.raises(Error, match="is being collected; when gc is over, push it"):
        pins.pin(store, "release", [path(4)[11:]])
    pins.pin(store, "other", [path(2)[11:]])


def test_a_pin_that_others_change_meanwhile_has_both_revisions(store: MemoryStore) -> None:
    store.put("autocache/pins/release", pins.pin(MemoryStore(contents=dict(store.contents)), "x", []).encode())
    before = store.before

    def interfere(kind: str, name: str) -> None:
        if kind == "put":
            store.before = before
            pins.pin(store, "release", [path(1)[11:]], keep_revisions=5)

    store.before = interfere
    made = pins.pin(store, "release", [path(2)[11:]], keep_revisions=5)
    assert [each.bases for each in made.revisions if each.bases] == [(path(2)[11:],), (path(1)[11:],)]


def test_who_may_not_delete_can_unpin(store: MemoryStore) -> None:
    pins.pin(store, "release", [path(1)[11:]])
    store.locked = frozenset(["autocache/pins/release"])
    assert "locked" in pins.unpin(store, "release")
    assert pins.pins(store) == {}


def test_a_damaged_pin_can_be_removed_or_pinned_again(store: MemoryStore) -> None:
    """`gc` stops at it, and says to do that."""
    for mend in (lambda: pins.unpin(store, "release"), lambda: pins.pin(store, "release", [path(1)[11:]])):
        store.put("autocache/pins/release", b"garbage")
        mend()
        daily(store, 1)
    assert pins.pins(store)["release"].roots(store.now) == {part(1)}
