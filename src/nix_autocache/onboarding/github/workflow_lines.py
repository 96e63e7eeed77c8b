"""A workflow's YAML as lines, so that an edit leaves comments and formatting as they are.

Not a parser: it knows which lines are structure, and which are the text of a block scalar such as a script. What it
does not understand (flow style, anchors) is left alone, and the caller says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from ...system.dataclass import dataclass

_LEAD: Final = re.compile(r" *(?:- +)*")
_SCALAR: Final = re.compile(r"(?:^ *|: +|- +)(?:[!&]\S+ +)*[|>][0-9+-]*\s*(?:#.*)?$")
_KEY: Final = re.compile(r"""(['"]?)([\w.-]+)\1 *:(?: +(.*))?$""")
_COMMENT: Final = re.compile(r"(?:^|\s)#.*$")
_SINGLE: Final = re.compile(r"'((?:[^']|'')*)'")


@dataclass(frozen=True)
class Line:
    """A line of structure: its `number`, `text` without the line's end, and the columns of its first character that
    is not a blank, and of what follows the dashes."""

    number: int
    text: str
    indent: int
    column: int

    @property
    def key(self) -> str:
        """The key of a mapping; empty if it has none."""
        found = _KEY.match(self.text[self.column :])
        return found[2] if found else ""

    @property
    def value(self) -> str:
        """What follows the key on this line, without a comment and without quotes."""
        found = _KEY.match(self.text[self.column :])
        text = (found[3] or "").strip() if found else ""
        quoted = _quoted(text)
        return _COMMENT.sub("", text).strip() if quoted is None else quoted

    @property
    def has_anchor(self) -> bool:
        """True if other lines repeat what begins here, or if this line repeats others."""
        return self.text[self.column :].startswith(("&", "*", "<<")) or self.value[:1] in {"&", "*"}

    @property
    def begins_item(self) -> bool:
        return self.text[self.indent] == "-"


def split(text: str) -> tuple[list[str], str]:
    """The lines of a file, and their end, with which they are joined again. The last is empty if the file ends so."""
    return text.replace("\r\n", "\n").split("\n"), "\r\n" if "\r\n" in text else "\n"


def structure(lines: Sequence[str]) -> list[Line]:
    """The lines that are neither empty, nor comments, nor in a block scalar."""
    return list(_structure(lines))


def _structure(lines: Sequence[str]) -> Iterator[Line]:
    scalar = -1  # column of what holds the block scalar that we are in
    for number, whole in enumerate(lines):
        text = whole.rstrip()
        indent = len(text) - len(text.lstrip(" "))
        if not text or indent > scalar >= 0:
            continue
        scalar = -1
        if text[indent] == "#":
            continue
        lead = _LEAD.match(text)
        column = lead.end() if lead else indent
        yield Line(number, text, indent, column)
        if _SCALAR.search(text):
            scalar = column if text[column : column + 1] not in {"|", ">"} else text.rindex("-", 0, column)


@dataclass(frozen=True)
class Block:
    """Lines `start` up to `end`, exclusive, of the file; `column` is that of its keys."""

    start: int
    end: int
    column: int


def block_of(position: int, found: Sequence[Line], lines: Sequence[str]) -> Block | None:
    """The item of a sequence that has the line `found[position]` as one of its keys; None if it is in no item."""
    column = found[position].column
    first = position
    while not (found[first].begins_item and found[first].column == column):
        first -= 1
        if first < 0 or found[first].column < column:
            return None
    return Block(found[first].number, _end(first, column, found, lines), column)


def section(key: str, block: Block, found: Sequence[Line], lines: Sequence[str]) -> Block | None:
    """The lines of a key of a mapping, the key's own included; None if there is no such key."""
    for position, line in enumerate(found):
        if block.start <= line.number < block.end and line.column == block.column and line.key == key:
            return Block(line.number, min(block.end, _end(position, line.column + 1, found, lines)), block.column)
    return None


def _end(position: int, column: int, found: Sequence[Line], lines: Sequence[str]) -> int:
    """The number after the last line below `found[position]` that is at `column` or more."""
    end = next((line.number for line in found[position + 1 :] if line.indent < column), len(lines))
    while end > found[position].number + 1 and _is_between(lines[end - 1], column):
        end -= 1
    return end


def _is_between(line: str, column: int) -> bool:
    """True for an empty line, and for a comment of what follows."""
    text = line.strip()
    return not text or (text.startswith("#") and len(line) - len(line.lstrip(" ")) < column)


def _quoted(text: str) -> str | None:
    """The value that a text in quotes is; None for another. JSON's escapes are those that people write."""
    if text[:1] == '"':
        with suppress(ValueError):
            return str(json.JSONDecoder().raw_decode(text)[0])
    single = _SINGLE.match(text)
    return single[1].replace("''", "'") if single else None
