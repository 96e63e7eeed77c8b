"""What the narinfos of a cache say: their references and archives, in numbers, since there may be a million of them.

A path has a number, by the order in which it was first seen; so has one that is referred to and not in the cache. A
narinfo is read once for each ETag. ETags and names of archives are kept as 64 bits of their hashes.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from ..nix.store import HASH_PART
from ..system.dataclass import dataclass, field
from .hash_parts import HashParts

_NIX: Final = "0123456789abcdfghijklmnpqrsvwxyz"
_PLAIN: Final = "0123456789abcdefghijklmnopqrstuv"
_LETTERS: Final = frozenset(_NIX)
_TO_PLAIN: Final = str.maketrans(_NIX, _PLAIN)
_DIGITS: Final = dict(enumerate(_NIX))


def number_of(hash_part: str) -> int:
    """A hash part as a number of 160 bits. Raises ValueError for another text."""
    if len(hash_part) != HASH_PART or not _LETTERS.issuperset(hash_part):
        raise ValueError(f"{hash_part!r} is no hash part")
    return int(hash_part.translate(_TO_PLAIN), 32)


def short(text: str) -> int:
    """64 bits of a text's hash, never 0, which stands for nothing."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little") or 1


@dataclass
class Graph:
    """All paths that were ever seen. The arrays have an item for each; `etags` and `archives` are `short`, or 0."""

    hashes: HashParts = field(default_factory=HashParts)
    etags: array[int] = field(default_factory=lambda: array("Q"))  # of the narinfo that was read
    archives: array[int] = field(default_factory=lambda: array("Q"))
    starts: array[int] = field(default_factory=lambda: array("Q"))  # of its references in `references`
    counts: array[int] = field(default_factory=lambda: array("I"))
    references: array[int] = field(default_factory=lambda: array("I"))

    def __len__(self) -> int:
        return len(self.etags)

    def add(self, hash_number: int) -> int:
        """The number of the path with this hash part, a new one if it was not seen before."""
        found = self.hashes.add(hash_number)
        if found == len(self.etags):
            for each in (self.etags, self.archives, self.starts, self.counts):
                each.append(0)
        return found

    def set(self, path: int, etag: int, archive: int, references: Iterable[int]) -> None:
        """Note what the narinfo of a path says: its archive, and the hash parts that it refers to, as numbers."""
        numbers = {self.add(each) for each in references} - {path}
        self.etags[path], self.archives[path] = etag, archive
        self.starts[path], self.counts[path] = len(self.references), len(numbers)
        self.references.extend(sorted(numbers))

    def refers_to(self, path: int) -> Sequence[int]:
        """The references of a path, without itself."""
        start = self.starts[path]
        return self.references[start : start + self.counts[path]]

    def hash_part(self, path: int) -> str:
        number = int.from_bytes(self.hashes[path], "big")
        return "".join(_DIGITS[number >> shift & 31] for shift in range(5 * (HASH_PART - 1), -1, -5))

    def reach(self, roots: Iterable[int], reached: bytearray) -> None:
        """Set to 1 the items of `reached` of these paths, and of all that they refer to. Those that are 1 are done."""
        waiting = []
        for root in roots:
            if not reached[root]:
                reached[root] = 1
                waiting.append(root)
            while waiting:
                for reference in self.refers_to(waiting.pop()):
                    if not reached[reference]:
                        reached[reference] = 1
                        waiting.append(reference)


class References(Sequence[Sequence[int]]):
    """The references of each path, as `last_use` wants them, without a million sequences in memory."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __len__(self) -> int:
        return len(self._graph)

    def __getitem__(self, path):  # type: ignore[no-untyped-def]
        return self._graph.refers_to(path)
