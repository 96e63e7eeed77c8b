"""What this process has put into the Actions cache, until it is sealed: where archives lie, and narinfos for the index.

What cannot be sealed is lost, and takes along all that needs it. It stays lost until it is put again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable

from ...errors import CacheError, Error
from ...system.dataclass import dataclass
from .index import Item, with_referrers


@dataclass(frozen=True)
class Placed:
    """Where an archive is: `size` bytes at `offset` of the entry `key`, which is empty as long as it is not known."""

    key: str
    offset: int
    size: int


class Pending:
    """Used from many threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._placed: dict[str, Placed] = {}  # by the name of the archive
        self._items: dict[str, Item] = {}
        self._lost: set[str] = set()
        self._failure: Error | None = None

    def __bool__(self) -> bool:
        return bool(self._items)

    def get(self, name: str) -> Item | None:
        return self._items.get(name)

    def has_archive(self, name: str) -> bool:
        return name in self._placed

    def is_sealed(self, name: str) -> bool:
        """False for what was added, and is not sealed, or is lost."""
        with self._lock:
            return name not in self._items and name not in self._lost

    def place(self, archive: str, placed: Placed) -> None:
        with self._lock:
            self._placed[archive] = placed

    def add(self, item: Item, known: Item | None, has_lost: Callable[[str], bool]) -> None:
        """Have it in the next index, with the archive of the item `known` if it has none here.

        `has_lost` says of a name that it was there. Raises CacheError if something that it needs is no longer there.
        """
        with self._lock:
            others = [need for need in item.needs if need not in self._items]  # those may have been lost, and put again
            gone = [need for need in others if need in self._lost or has_lost(need)]
            place = self._placed.get(item.archive)
            if item.archive and not known and not (place and place.size == item.size):
                gone.append(item.archive)
            if gone:
                self._lost.add(item.name)
                raise CacheError(f"{item.name} cannot be stored: {gone[0]} is no longer in the cache")
            self._lost.discard(item.name)
            self._items[item.name] = item.with_file_of(known) if known else item

    def ready(self, entries: Collection[str]) -> dict[str, Item]:
        """The items whose archives are in these entries, or in another job's, with all that they need."""
        with self._lock:
            placed = {name: self._with_place(item) for name, item in self._items.items()}
            early = [
                item.name for item in placed.values() if item.archive in self._placed and item.entry not in entries
            ]
        held = with_referrers(placed, early)
        return {name: item for name, item in placed.items() if name not in held}

    def seal(self, items: Iterable[str]) -> None:
        """They are visible now."""
        with self._lock:
            for name in items:
                self._items.pop(name, None)

    def lose_entry(self, key: str, error: Error) -> None:
        """The archives in this entry are lost."""
        with self._lock:
            archives = {name for name, place in self._placed.items() if place.key == key}
        self.lose_archives(archives, error)

    def lose_archives(self, archives: Collection[str], error: Error) -> None:
        with self._lock:
            for name in archives:
                self._placed.pop(name, None)
            items = [item.name for item in self._items.values() if item.archive in archives]
        self.lose(items, error)

    def lose_all(self, error: Error) -> None:
        """What is not sealed yet is lost."""
        with self._lock:
            items = [*self._items]
        self.lose(items, error)

    def lose(self, items: Iterable[str], error: Error) -> None:
        with self._lock:
            lost = with_referrers(self._items, items)
            for name in lost:
                self._items.pop(name, None)
            self._lost |= lost
            if lost:
                self._failure = self._failure or error

    def take_failure(self) -> Error | None:
        """Why something was lost since the last call."""
        with self._lock:
            failure, self._failure = self._failure, None
            return failure

    def _with_place(self, item: Item) -> Item:
        place = self._placed.get(item.archive)
        return item.at(place.key, place.offset) if place else item
