"""What is in the Actions cache, as one value, and what can be done with it. Pure: nothing here asks the service.

An index holds narinfos and realisations whole, and says in which entry the archives lie. It is closed: whatever a
narinfo refers to is in the index as well, or was never in this cache, since an upstream has it. Every function here
keeps that: what is left out takes along all that refers to it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from ...nix.closure import circular
from ...nix.store import BASE_NAME, HASH_PART
from ...system.dataclass import dataclass, field, replace
from .keys import archive_of, parse_pack

DAY: Final = 86400  # seconds
_ENTRIES: Final = 5000  # that an index keeps
_LONGEST: Final = 256 << 10  # letters of a narinfo, which has some 50 for each reference, or of a realisation
_PATH: Final = re.compile(rf"^StorePath: /\S*/({BASE_NAME.pattern})$", re.MULTILINE)
_URL: Final = re.compile(r"^URL: (nar/[0-9A-Za-z][0-9A-Za-z._=-]*)$", re.MULTILINE)
_SIZE: Final = re.compile(r"^FileSize: ([0-9]{1,15})$", re.MULTILINE)
_FILE: Final = re.compile(r"^(Compression|FileHash|FileSize): .*$", re.MULTILINE)
_REFERENCES: Final = re.compile(r"^References: (.*)$", re.MULTILINE)
_REALISATION: Final = re.compile(r"realisations/sha256:[0-9a-f]{64}![0-9A-Za-z+._?=-]{1,211}\.doi")
_REALISED: Final = re.compile(rf'"outPath": ?"({BASE_NAME.pattern})"')


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the service: the bytes of its archives, when it was made, in seconds, and the day of its last use,
    both since 1970."""

    size: int
    made: int
    used: int


@dataclass(frozen=True, slots=True)
class Head:
    """The newest pack of a lane that an index takes account of, by the end of its key, and when it was made."""

    tail: str
    made: int


@dataclass(frozen=True, slots=True)
class Item:
    """An object that an index holds whole: a narinfo or a realisation, by its name in the cache.

    A narinfo's archive is `size` bytes at `offset` of `entry`, which is empty for a realisation.
    """

    name: str
    text: str
    archive: str = ""
    size: int = 0
    entry: str = ""
    offset: int = 0

    @property
    def needs(self) -> list[str]:
        """The names of what must be there as well, or be an upstream's."""
        if not self.archive:
            return [f"{base[:HASH_PART]}.narinfo" for base in _REALISED.findall(self.text)]
        bases = " ".join(_REFERENCES.findall(self.text)).split()
        return [name for base in bases if (name := f"{base[:HASH_PART]}.narinfo") != self.name]

    @property
    def is_signed(self) -> bool:
        return "\nSig: " in self.text

    def at(self, entry: str, offset: int) -> Item:
        return replace(self, entry=entry, offset=offset)

    def with_file_of(self, other: Item) -> Item:
        """The same path with the archive of another of equal content, which may be compressed differently.

        A narinfo's signature does not cover these fields.
        """
        if (self.entry, self.offset, self.size) == (other.entry, other.offset, other.size):
            return self
        lines = {line[1]: line[0] for line in _FILE.finditer(other.text)}
        text = _FILE.sub(lambda line: lines.get(line[1], line[0]), self.text)
        return replace(self, text=text, size=other.size, entry=other.entry, offset=other.offset)


def narinfo(text: str) -> Item | None:
    """The item of a narinfo that is nowhere yet; None if it is not one of ours."""
    paths, urls, sizes = _PATH.findall(text), _URL.findall(text), _SIZE.findall(text)
    if not (len(paths) == len(urls) == len(sizes) == 1) or not _is_plain(text):
        return None
    return Item(f"{paths[0][:HASH_PART]}.narinfo", text, urls[0], int(sizes[0]))


def realisation(name: str, text: str) -> Item | None:
    """The item of a realisation; None if it is none."""
    is_one = _REALISATION.fullmatch(name) and len(_REALISED.findall(text)) == 1 and _is_plain(text)
    return Item(name, text) if is_one else None


def _is_plain(text: str) -> bool:
    return text.endswith("\n") and "\n\n" not in text and not text.startswith("\n") and len(text) <= _LONGEST


@dataclass(frozen=True)
class Index:
    """`entries` by their keys, `items` by their names, and `heads` by lanes."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    items: Mapping[str, Item] = field(default_factory=dict)
    heads: Mapping[str, Head] = field(default_factory=dict)

    def has_taken(self, key: str) -> bool:
        """True if it takes account of all that the pack of this key says."""
        pack = parse_pack(key)
        head = self.heads.get(pack.lane) if pack else None
        return bool(pack and head and head.tail == pack.tail)


def union(indexes: Iterable[Index]) -> Index:
    """All that any of them holds. Of two narinfos of one path the first counts, unless only the other is signed. What
    names the same archive gets the same place."""
    entries: dict[str, Entry] = {}
    items: dict[str, Item] = {}
    heads: dict[str, Head] = {}
    places: dict[str, Item] = {}
    for index in indexes:
        for key, entry in index.entries.items():
            known = entries.get(key, entry)
            entries[key] = Entry(max(known.size, entry.size), known.made, max(known.used, entry.used))
        for lane, head in index.heads.items():
            heads[lane] = max(heads.get(lane, head), head, key=lambda each: each.made)
        for name, item in index.items.items():
            first = items.get(name)
            if first is None or (item.is_signed and not first.is_signed):
                items[name] = item.with_file_of(places.setdefault(item.archive, item)) if item.archive else item
    return Index(entries, items, heads)


def circles(index: Index) -> set[str]:
    """The names of items that lead into a circle, which some versions of Nix abort on (2.26)."""
    return circular({name: item.needs for name, item in index.items.items()})


def without(index: Index, names: Iterable[str]) -> Index:
    """Without the items of these names, and without all that needs them."""
    lost = with_referrers(index.items, names)
    return replace(index, items={name: item for name, item in index.items.items() if name not in lost})


def with_referrers(items: Mapping[str, Item], names: Iterable[str]) -> set[str]:
    """These names, and those of all items that need them."""
    found, todo = set(names), list(names)
    if not todo:
        return found
    referrers = defaultdict(list)
    for item in items.values():
        for need in item.needs:
            referrers[need].append(item.name)
    while todo:
        new = [name for name in referrers[todo.pop()] if name not in found]
        found.update(new)
        todo += new
    return found


def forget(index: Index, keys: Collection[str]) -> Index:
    """Without these entries, their archives, and all that needs them."""
    return remaining([(index, keys)])


def remaining(indexes: Iterable[tuple[Index, Collection[str]]]) -> Index:
    """What indexes hold together, each without some entries: one may have what another has lost, and then nothing that
    needs it is lost with it."""
    pairs = list(indexes)
    before = {name for index, _ in pairs for name in index.items}
    left = union(_without_entries(index, keys) for index, keys in pairs)
    return without(left, before - left.items.keys())


def _without_entries(index: Index, keys: Collection[str]) -> Index:
    """Not closed: what needs their archives stays."""
    items = {name: item for name, item in index.items.items() if item.entry not in keys}
    return replace(index, items=items, entries={key: each for key, each in index.entries.items() if key not in keys})


def closure(index: Index, names: Iterable[str]) -> Index:
    """The items of these names, all that they need, and the entries of these."""
    items: dict[str, Item] = {}
    todo = list(names)
    while todo:
        item = index.items.get(todo.pop())
        if item and item.name not in items:
            items[item.name] = item
            todo += item.needs
    ordered = {name: item for name, item in index.items.items() if name in items}
    used = {item.entry for item in items.values()}
    return replace(index, items=ordered, entries={key: each for key, each in index.entries.items() if key in used})


def prune(index: Index, scope: str, size: int, letters: int) -> Index:
    """Without the entries that were not used for the longest time, so that this branch's have at most `size` bytes, and
    the narinfos at most that many letters."""
    texts: dict[str, int] = defaultdict(int)
    for item in index.items.values():
        texts[item.entry] += len(item.text)
    letters -= texts[""]
    dropped: set[str] = set()
    last_first = sorted(index.entries.items(), key=lambda each: (-each[1].used, -each[1].made))
    for number, (key, entry) in enumerate(last_first):
        pack = parse_pack(key)
        counted = entry.size if archive_of(key) or (pack and pack.scope == scope) else 0
        if counted > size or texts[key] > letters or number >= _ENTRIES:
            dropped.add(key)
        else:
            size, letters = size - counted, letters - texts[key]
    return forget(index, dropped) if dropped else index
