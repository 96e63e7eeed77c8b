"""The archives of a cache: sizes and times, found by `short` of their names, without a million names in memory."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Container, Iterator
from typing import Final

from ..caches.doomed_list import key
from ..caches.protocol import Stored
from .graph import short

_KEY: Final = 10  # characters
_NAME: Final = re.compile(r"nar/[0-9A-Za-z][0-9A-Za-z._=+-]*\.nar(\.[0-9a-z]+)?")


class Archives:
    """In the order in which they were added; a place is a number in it. `names` are those of the `wanted` ones. An
    archive that was deleted since then has a 1 in `gone`; so has what is below `nar/` and is not named as an archive of
    Nix, as the files of another cache in a folder of that name: it is left alone."""

    def __init__(self, wanted: Container[str] = ()) -> None:
        self._wanted = wanted
        self.ids, self.sizes, self.modified = array("Q"), array("Q"), array("d")
        self.names: dict[int, str] = {}
        self.gone = bytearray()
        self._keys = bytearray()
        self._sorted, self._places = array("Q"), array("I")

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, stored: Stored) -> None:
        if stored.name in self._wanted:
            self.names[len(self.ids)] = stored.name
        self.ids.append(short(stored.name))
        self.sizes.append(stored.size)
        self.modified.append(stored.modified)
        self.gone.append(_NAME.fullmatch(stored.name) is None)
        self._keys += key(stored.name).encode("ascii", "replace")

    def sort(self) -> None:
        """Call it after the last was added, and before the first is looked for."""
        bits = 32
        order = sorted(each << bits | place for place, each in enumerate(self.ids))
        self._sorted = array("Q", (each >> bits for each in order))
        self._places = array("I", (each & (1 << bits) - 1 for each in order))

    def place(self, archive: int) -> int | None:
        """Of the archive with this `short`; None if there is none."""
        at = bisect_left(self._sorted, archive)
        return self._places[at] if at < len(self._sorted) and self._sorted[at] == archive else None

    def key(self, place: int) -> str:
        """The key of its name, for the list of what is doomed."""
        return self._keys[place * _KEY : (place + 1) * _KEY].decode("ascii")

    def unnamed(self, named: Iterator[int]) -> list[int]:
        """The places of those that are not `gone` and whose `short` is not among `named`."""
        seen = bytearray(self.gone)
        for archive in named:
            place = self.place(archive)
            if place is not None:
                seen[place] = 1
        return [place for place, there in enumerate(seen) if not there]
