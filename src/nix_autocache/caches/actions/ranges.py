"""The answer to a request for a range of bytes (RFC 9110, 14), judged before its content is read.

Only `bytes=a-b` is asked for: Azure has no suffix ranges, and its emulator answers one with the wrong bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ...system.dataclass import dataclass

_PARTIAL: Final = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")
_UNSATISFIED: Final = re.compile(r"bytes \*/(\d{1,15})")
_SIZE: Final = re.compile(r"\d{1,15}")


@dataclass(frozen=True)
class Range:
    """How many bytes of the response to leave out, how many to use then, and the size of the whole entry."""

    skip: int
    count: int
    total: int


def asked(start: int, end: int) -> str:
    """The header for the bytes from `start` to `end`, which is not included."""
    return f"bytes={start}-{end - 1}"


def answered(status: int, headers: Mapping[str, str], start: int, end: int) -> Range | None:
    """The range that a response has: 206, 200 with everything, or 416 behind the end. None if it is another one."""
    if status == 206:
        return _partial(headers.get("content-range", ""), start, end)
    if status == 416:
        found = _UNSATISFIED.fullmatch(headers.get("content-range", ""))
        return Range(0, 0, int(found[1])) if found and int(found[1]) <= start else None
    size = headers.get("content-length", "")
    if status != 200 or not _SIZE.fullmatch(size):
        return None
    total = int(size)
    return Range(start, max(0, min(end, total) - start), total)


def _partial(header: str, start: int, end: int) -> Range | None:
    found = _PARTIAL.fullmatch(header)
    if not found:
        return None
    first, last, total = map(int, found.groups())
    if first != start or last + 1 != min(end, total):
        return None
    return Range(0, last + 1 - first, total)
