"""What a job can read of the Actions cache: the indexes of its lanes, without what the service no longer has.

They are looked up with the first question: for each branch that this job may read, the newest pack of all lanes, and
the newest of its own. Then a question for a path costs a request only for an entry that was not looked up yet. One that
is gone takes along its narinfos, and all that refer to them, before any of these is answered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from ...errors import CacheError
from ...system.dataclass import replace
from . import trailer
from .beginning import Beginning
from .index import DAY, Entry, Head, Index, Item, circles, closure, prune, remaining, union, without
from .keys import archive_of, parse_pack
from .links import Links
from .lookups import Found, Lookups

_STALE: Final = 2  # days after which the use of an entry is written down, even if nothing else is
_SETTLED: Final = 600  # seconds after which a finished entry is found by everybody


class Catalog:
    """The job's own branch may take `size` bytes. Used from many threads at once; methods raise CacheBusy, and
    CacheError."""

    def __init__(self, lookups: Lookups, links: Links, size: int) -> None:
        self._lookups, self._links, self._size = lookups, links, size
        self._beginning = Beginning(lookups.begin, self._begin)
        self._lock = threading.Lock()
        self._unjoined = ""  # our lane's newest pack, if the newest pack of all lanes takes no account of it
        self._own, self._foreign, self._view = Index(), Index(), Index()
        self._archives: dict[str, Item] = {}
        self._mine: set[str] = set()  # entries of this process: there, whatever a lookup says
        self._gone: set[str] = set()  # entries that were not found
        self._used: set[str] = set()  # entries whose narinfos were asked for
        self._lost: set[str] = set()  # items that were in view
        self._closed: set[str] = set()  # items of which all that they need is known to be there

    def load(self) -> Found:
        """See Beginning."""
        return self._beginning.load()

    def learn(self, found: Found) -> None:
        """See Beginning."""
        self._beginning.learn(found)

    def _begin(self, found: Found) -> None:
        with self._lock:
            self._take(found.own, found.foreign)
            self._unjoined = found.unjoined

    def get(self, name: str) -> Item | None:
        """An item that is there with its archive and all that it needs."""
        self.load()
        while True:
            with self._lock:
                view, item = self._view, self._view.items.get(name)
                if item is None or name in self._closed:
                    return item
                names, entries = self._unclear(item)
            if gone := self._links.missing(entries):
                self.forget(gone)
                continue
            with self._lock:
                self._used |= entries
                if view is self._view:
                    self._closed |= names
                    return item

    def use(self, names: Iterable[str]) -> None:
        """Note that these items are used. Nothing is asked."""
        with self._lock:
            found = (self._view.items.get(name) for name in names)
            self._used |= {item.entry for item in found if item and item.entry}

    def archive(self, name: str) -> Item | None:
        """An item whose archive has this name."""
        self.load()
        with self._lock:
            if not self._archives:
                self._archives = {item.archive: item for item in self._view.items.values() if item.archive}
            return self._archives.get(name)

    def size_of(self, key: str) -> int:
        """The bytes of an entry's archives; 0 if it is not in view."""
        entry = self._view.entries.get(key)
        return entry.size if entry else 0

    def has_lost(self, name: str) -> bool:
        """True if it was there, and went with an entry."""
        with self._lock:
            return name in self._lost

    def forget(self, keys: Sequence[str]) -> None:
        """Take entries for gone."""
        with self._lock:
            self._gone |= set(keys) - self._mine
            self._look_again()

    @property
    def is_stale(self) -> bool:
        """True if the next job would find more, or for longer, if this one wrote an index."""
        if not self._beginning.found:
            return False
        today = _today()
        with self._lock:
            used = [entry for key, entry in self._own.entries.items() if key in self._used]
        return bool(self._unjoined) or any(today - entry.used > _STALE for entry in used)

    def refresh(self) -> None:
        """Take account of the newest pack of this branch, which another job may have just finished."""
        self.load()
        newest = self._lookups.newest()
        if newest and not self._own.has_taken(newest.key):
            index = self._lookups.read(newest)
            with self._lock:
                self._take(union([self._own, index]), self._foreign)
            if index.has_taken(self._unjoined):
                self._unjoined = ""

    def index_with(self, key: str, entries: Mapping[str, Entry], items: Mapping[str, Item]) -> Index:
        """The index for this job's pack `key`: these, and all that is known of the branch.

        Raises CacheBusy if that is not known at the moment: the index would hide it from the next jobs.
        """
        pack = parse_pack(key)
        assert pack, "it is one of ours"
        with suppress(CacheError):  # a job that may not read may write all the same
            self.load()
        with self._lock:
            own, foreign, used, gone = self._own, self._foreign, set(self._used), set(self._gone)
        mine = Index(entries, items, {pack.lane: Head(pack.tail, _now())})
        young = {each for each in gone if each in own.entries and _now() - own.entries[each].made < _SETTLED}
        known = remaining([(mine, ()), (own, gone - young), (replace(foreign, heads={}), gone)])
        there = {"", *known.entries}
        known = without(known, [name for name, item in known.items.items() if item.entry not in there])
        roots = [name for name, item in known.items.items() if _is_of(item, pack.scope, foreign)]
        kept = closure(known, roots)
        today = _today()
        kept_entries = {
            each: replace(entry, used=today) if each in used else entry for each, entry in kept.entries.items()
        }
        return prune(replace(kept, entries=kept_entries), pack.scope, self._size, trailer.LETTERS)

    def adopt(self, index: Index, entries: Mapping[str, Entry]) -> None:
        """An index of ours is visible now, with these entries of this process."""
        with self._lock:
            self._own = index
            self._mine |= entries.keys()
            self._unjoined = ""
            self._look_again()

    def _take(self, own: Index, foreign: Index) -> None:
        """Take these for what there is, but for what nobody can have built. The caller holds the lock."""
        wrong = circles(union([own, foreign]))
        self._own, self._foreign = without(own, wrong), without(foreign, wrong)
        self._look_again()

    def _look_again(self) -> None:
        """The caller holds the lock."""
        before = self._view.items.keys()
        view = remaining((each, self._gone) for each in (self._own, self._foreign))
        self._view = without(view, circles(view)) if self._gone else view
        self._lost = (self._lost | (before - self._view.items.keys())) - self._view.items.keys()
        self._archives = {}
        self._closed = set()

    def _unclear(self, item: Item) -> tuple[set[str], set[str]]:
        """The items that this one needs, itself included, of which that is not known, and their entries."""
        names, todo = {item.name}, [item]
        entries = set()
        while todo:
            each = todo.pop()
            if each.entry and each.entry not in self._mine:
                entries.add(each.entry)
            new = [
                need
                for name in each.needs
                if name not in names and name not in self._closed and (need := self._view.items.get(name))
            ]
            names.update(need.name for need in new)
            todo += new
        return names, entries


def _is_of(item: Item, scope: str, foreign: Index) -> bool:
    """True if the branch of this scope keeps the item for its own sake, not only where another item needs it."""
    if not item.entry:
        return item.name not in foreign.items
    pack = parse_pack(item.entry)
    return pack.scope == scope if pack else bool(archive_of(item.entry)) and item.entry not in foreign.entries


def _now() -> int:
    return int(time.time())


def _today() -> int:
    return _now() // DAY
