"""The hash parts of a million paths, and a table that finds the number of each.

It takes 28 bytes for a path, where a dict of integers takes 140. The table is open addressing with linear probing. The
hash of bytes is keyed by Python (SipHash), so nobody can choose hash parts that are found slowly.
"""

from __future__ import annotations

from array import array
from typing import Final

BYTES: Final = 20  # of a hash part
_FIRST: Final = 16  # slots; always a power of two, and at most half of them are taken


class HashParts:
    """Each hash part once; its number is the order in which it was added. They are integers of 160 bits."""

    def __init__(self, content: bytearray | None = None) -> None:
        """`content` has BYTES for each, in big endian. Raises ValueError if one is there twice, or a part of one."""
        self._content = bytearray() if content is None else content
        if len(self._content) % BYTES:
            raise ValueError("the last one is not whole")
        self._slots: array[int] = array("I")
        self._make_slots()

    def __len__(self) -> int:
        return len(self._content) // BYTES

    def __getitem__(self, number: int) -> bytes:
        return bytes(self._content[number * BYTES : (number + 1) * BYTES])

    def find(self, hash_number: int) -> int | None:
        """Its number; None if it is not there."""
        taken = self._slots[self._slot(hash_number.to_bytes(BYTES, "big"))]
        return taken - 1 if taken else None

    def __contains__(self, hash_number: object) -> bool:
        return isinstance(hash_number, int) and self.find(hash_number) is not None

    def add(self, hash_number: int) -> int:
        """Its number, the next one if it was not there."""
        part = hash_number.to_bytes(BYTES, "big")
        slot = self._slot(part)
        if taken := self._slots[slot]:
            return taken - 1
        self._content += part
        number = len(self)
        self._slots[slot] = number
        if 2 * number > len(self._slots):
            self._make_slots()
        return number - 1

    def _slot(self, part: bytes) -> int:
        """The slot with the number of this one and 1 added, or the empty slot where that belongs."""
        slots, content, last = self._slots, self._content, len(self._slots) - 1
        slot = hash(part) & last
        while end := slots[slot] * BYTES:
            if content[end - BYTES : end] == part:
                break
            slot = slot + 1 & last
        return slot

    def _make_slots(self) -> None:
        count = _FIRST
        while count < 3 * len(self):
            count *= 2
        self._slots = array("I", [0]) * count
        for number in range(len(self)):
            slot = self._slot(self[number])
            if self._slots[slot]:
                raise ValueError("a hash part is there twice")
            self._slots[slot] = number + 1
