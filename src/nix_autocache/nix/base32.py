"""Nix's base 32: its own alphabet and order, for hashes in store paths and narinfos.

Source: src/libutil/base-nix-32.cc of Nix.
"""

from __future__ import annotations

from typing import Final

_ALPHABET: Final = "0123456789abcdfghijklmnpqrsvwxyz"


def encode(raw: bytes) -> str:
    """The text of a hash: 52 characters for the 32 bytes of a sha256."""
    number = int.from_bytes(raw, "little")
    length = (len(raw) * 8 + 4) // 5
    return "".join(_ALPHABET[(number >> 5 * position) & 31] for position in reversed(range(length)))
