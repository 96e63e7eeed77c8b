"""Nix's base 32: its own alphabet and order, for hashes in store paths and narinfos.

Source: src/libutil/base-nix-32.cc of Nix.
"""

from __future__ import annotations

from typing import Final

_ALPHABET: Final = "0123456789abcdfghijklmnpqrsvwxyz"
_PAIRS: Final = [first + second for first in _ALPHABET for second in _ALPHABET]


def encode(raw: bytes) -> str:
    """The text of a hash: 52 characters for the 32 bytes of a sha256."""
    number = int.from_bytes(raw, "little")
    length = (len(raw) * 8 + 4) // 5
    pairs = [_PAIRS[number >> 10 * position & 1023] for position in reversed(range((length + 1) // 2))]
    return "".join(pairs)[-length:]
