"""The end of a pack: the index as its writer knew it, and a footer that says where it begins.

    archives, back to back │ index, as `run_codec` packs it │ length of the index, 8 bytes │ b"nixacpk1"

The text of an index is a line for each entry (key, bytes, when it was made, day of use), an empty line, and the items,
each followed by an empty line. Before a narinfo stands the number of its entry and the offset there, before a
realisation its name. Whoever can write the cache can write an index: one that is wrong anywhere is not read at all.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ...errors import CacheError
from .. import run_codec
from .index import Entry, Head, Index, Item, narinfo, realisation
from .keys import is_entry
from .service import ActionsService, Located, Part

LETTERS: Final = 16 << 20  # of narinfos, some 20,000 of them
_LARGEST: Final = 24 << 20  # bytes of an index, packed or not
_ENTRIES: Final = 10_000
_ITEMS: Final = 60_000
_HEADS: Final = 500
_KIND: Final = "actions"
_FOOTER: Final = struct.Struct(">Q8s")
_MAGIC: Final = b"nixacpk1"
_GUESS: Final = 256 << 10  # bytes at the end that are read first
_PIECE: Final = 4 << 20  # bytes of a range that is read as a whole
_ENTRY: Final = re.compile(r"(\S{1,200}) ([0-9]{1,15}) ([0-9]{1,11}) ([0-9]{1,6})")
_PLACE: Final = re.compile(r"([0-9]{1,5}) ([0-9]{1,15})")
_HEAD: Final = re.compile(r"([0-9a-z-]{1,48}) ([0-9]{1,11})")
_LANE: Final = re.compile(r"[0-9a-f]{8}")


def encode(index: Index) -> bytes:
    """The bytes that end a pack."""
    packed = pack(index)
    return packed + _FOOTER.pack(len(packed), _MAGIC)


def pack(index: Index) -> bytes:
    """The index alone. Entries without an archive in it are left out, as are the oldest heads."""
    used = {item.entry for item in index.items.values()}
    entries = {key: entry for key, entry in index.entries.items() if key in used}
    numbers = {key: number for number, key in enumerate(entries)}
    lines = "".join(f"{key} {each.size} {each.made} {each.used}\n" for key, each in entries.items())
    items = (
        f"{f'{numbers[item.entry]} {item.offset}' if item.archive else item.name}\n{item.text}\n"
        for item in index.items.values()
    )
    newest = sorted(index.heads.items(), key=lambda each: -each[1].made)[:_HEADS]
    heads = {lane: f"{head.tail} {head.made}" for lane, head in newest}
    return run_codec.pack({"kind": _KIND, "heads": heads}, f"{lines}\n{''.join(items)}")


def decode(packed: Iterable[bytes]) -> Index:
    """The index, without the footer. Raises CacheError for what `encode` could not have made."""
    head, text = run_codec.unpack(packed, _LARGEST)
    if head.get("kind") != _KIND:
        raise CacheError("it is no index of an Actions cache")
    if text.startswith("\n"):
        lines, rest = "", text[1:]
    else:
        lines, _, rest = text.partition("\n\n")
    entries = _entries(lines.split("\n") if lines else [])
    return Index(entries, _items(rest, list(entries.items())), _heads(head.get("heads")))


def _entries(lines: Sequence[str]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for line in lines:
        found = _ENTRY.fullmatch(line)
        if not found or not is_entry(found[1]) or found[1] in entries or len(entries) >= _ENTRIES:
            raise CacheError("an entry in it is wrong")
        entries[found[1]] = Entry(*map(int, found.groups()[1:]))
    return entries


def _items(text: str, entries: Sequence[tuple[str, Entry]]) -> dict[str, Item]:
    items: dict[str, Item] = {}
    texts = text.split("\n\n", _ITEMS)
    if texts.pop():
        raise CacheError("it has too many narinfos, or ends in one")
    for each in texts:
        first, _, rest = each.partition("\n")
        item = _item(first, f"{rest}\n", entries)
        if item is None or item.name in items:
            raise CacheError("a narinfo in it is wrong")
        items[item.name] = item
    return items


def _item(first: str, text: str, entries: Sequence[tuple[str, Entry]]) -> Item | None:
    place = _PLACE.fullmatch(first)
    if not place:
        return realisation(first, text)
    item, number, offset = narinfo(text), int(place[1]), int(place[2])
    if not item or number >= len(entries):
        return None
    key, entry = entries[number]
    return item.at(key, offset) if offset + item.size <= entry.size else None


def _heads(heads: object) -> dict[str, Head]:
    if not isinstance(heads, Mapping) or len(heads) > _HEADS:
        raise CacheError("its heads are wrong")
    found: dict[str, Head] = {}
    for lane, text in heads.items():
        head = _HEAD.fullmatch(text) if isinstance(text, str) else None
        if not head or not _LANE.fullmatch(lane):
            raise CacheError("its heads are wrong")
        found[lane] = Head(head[1], int(head[2]))
    return found


def read(service: ActionsService, pack: Located, part: Part) -> Index | None:
    """The index at the end of a pack of which `part` is known; None if it is gone.

    Raises CacheError if it is wrong, and CacheBusy. A range that counts from the end is not asked for: Azure's service
    does not know it.
    """
    end = _whole_end(service, pack, part) if part.ignores_ranges else _end(service, pack, part.total)
    return None if end is None else decode([end])


def _end(service: ActionsService, pack: Located, total: int) -> bytes | None:
    start = max(0, total - _GUESS)
    end = _range(service, pack, start, total)
    if end is None:
        return None
    begin = total - _FOOTER.size - _length(end, total)
    if begin >= start:
        return end[begin - start : -_FOOTER.size]
    before = _range(service, pack, begin, start)
    return None if before is None else before + end[: -_FOOTER.size]


def _length(end: bytes | bytearray, total: int) -> int:
    """The bytes of the index. Raises CacheError."""
    if len(end) < _FOOTER.size:
        raise CacheError("it is too short for a pack")
    length, magic = _FOOTER.unpack(end[-_FOOTER.size :])
    if magic != _MAGIC or not 0 < length <= min(_LARGEST, total - _FOOTER.size):
        raise CacheError("it is no pack")
    return int(length)


def _range(service: ActionsService, pack: Located, start: int, end: int) -> bytes | None:
    content = bytearray()
    for begin in range(start, end, _PIECE):
        part = service.read(pack.url, begin, min(end, begin + _PIECE))
        if part is None:
            return None
        content += part.content
    if len(content) != end - start:
        raise CacheError("it is shorter than it was said to be")
    return bytes(content)


def _whole_end(service: ActionsService, pack: Located, part: Part) -> bytes | None:
    """From a server that sends every entry from its beginning: all of it is read, and its end is returned."""
    content = service.stream(pack.url, 0, part.total)
    if content is None:
        return None
    most, end = _LARGEST + _FOOTER.size, bytearray()
    try:
        for piece in content.pieces:
            end += piece
            if len(end) > 2 * most:
                del end[:-most]
    finally:
        content.close()
    length = _length(end[-most:], part.total)
    return bytes(end[-_FOOTER.size - length : -_FOOTER.size])
