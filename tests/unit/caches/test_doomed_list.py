"""What collector and pushers tell each other survives the way through a cache, and damage is found."""

import pytest

from nix_autocache.caches import run_codec
from nix_autocache.caches.doomed_list import (
    BEGUN,
    DOOMED,
    Claim,
    DamagedError,
    DoomedList,
    Keys,
    encode_begun,
    read_begun,
)
from tests.harness.memory_store import MemoryStore

DEAD = ("0123456789abcdfghijklmnpqrsvwxyz.narinfo", "nar/1c4xyzabcdfghijklmnpqr.nar.zst", "nar/x.nar")


def test_a_list_is_read_as_it_was_written() -> None:
    cache = MemoryStore({DOOMED: DoomedList(8, 1_700_000_000, announced=True, keys=Keys.of(DEAD)).encode()})
    found = DoomedList.read(cache)
    assert found
    assert (found.epoch, found.at, found.announced, len(found.keys)) == (8, 1_700_000_000, True, 3)
    assert all(name in found.keys for name in DEAD)
    assert "0123456789zzzz" in found.keys, "the first ten characters count"
    assert "0123456788abcdfghijklmnpqrsvwxyz" not in found.keys
    assert "nar/y.nar" not in found.keys


def test_what_is_missing_is_not_damaged() -> None:
    assert DoomedList.read(MemoryStore()) is None
    assert read_begun(MemoryStore()) is None
    assert Claim.read(MemoryStore(), Claim.name(8, "abcdef01", 1)) is None


def test_a_claim_and_the_beginning_are_read_as_they_were_written() -> None:
    name = Claim.name(8, "abcdef01", 1)
    claim = Claim(8, Keys.of(DEAD[:1]))
    cache = MemoryStore({BEGUN: encode_begun(8), name: claim.encode()})
    assert read_begun(cache) == 8
    assert Claim.read(cache, name) == claim
    assert Claim.epoch_of(name) == 8
    assert Claim.epoch_of("autocache/gc/claims/8-x-1") is None


@pytest.mark.parametrize(
    "content",
    [
        b"garbage",
        b"",
        run_codec.pack({"kind": "claim", "epoch": 8}, ""),
        run_codec.pack({"kind": "doomed", "epoch": -1, "at": 1, "phase": "idle"}, ""),
        run_codec.pack({"kind": "doomed", "epoch": True, "at": 1, "phase": "idle"}, ""),
        run_codec.pack({"kind": "doomed", "epoch": 8, "at": 1, "phase": "later"}, ""),
        run_codec.pack({"kind": "doomed", "epoch": 8, "at": 1, "phase": "announced"}, "b\na\n"),
        run_codec.pack({"kind": "doomed", "epoch": 8, "at": 1, "phase": "announced"}, "abcdefghij\nabcde"),
        run_codec.pack({"kind": "doomed", "epoch": 8, "at": 1, "phase": "announced"}, "bbbbbbbbbb\naaaaaaaaaa\n"),
    ],
)
def test_damage_is_found(content: bytes) -> None:
    """Of what is damaged nothing is believed, above all not that nothing is doomed."""
    with pytest.raises(DamagedError, match=DOOMED):
        DoomedList.read(MemoryStore({DOOMED: content}))
