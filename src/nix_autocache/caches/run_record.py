"""Run records and pins: what the collector must keep, as hash parts of store paths, in objects of the cache.

A run record says what one run of a CI job used: built, found, or fetched. A pin has a name that a person chose, and the
latest revisions of what was pinned under it. Both have roots only: what these refer to is kept with them. They are
hints: whoever can write to the cache can write any. A wrong one keeps too much, or stands for the newest of its job.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Self

from ..ci.lane import Lane
from ..errors import CacheError, InputError
from ..nix.store import BASE_NAME, HASH_PART
from ..system.dataclass import dataclass
from . import run_codec
from .protocol import ObjectCache

RUNS: Final = "autocache/runs/"
PINS: Final = "autocache/pins/"
DAY: Final = 24 * 3600.0  # seconds
_RUN: Final = "run"
_PIN: Final = "pin"
_OBJECT: Final = 8 << 20  # bytes of text that are read: more than run_codec.MOST_ROOTS hash parts
_TIME: Final = "%Y%m%dT%H%M%S"
_RUN_NAME: Final = re.compile(r"autocache/runs/([0-9a-f]{16})/([0-9]{8}T[0-9]{6})-([0-9a-f]{8})")
_PIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_HASH: Final = re.compile(rf"[0-9abcdfghijklmnpqrsvwxyz]{{{HASH_PART}}}")
_NUMBER: Final = re.compile("[0-9]{1,12}")


class DamagedPinError(CacheError):
    """Nobody knows what this pin keeps, so nothing must be collected."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is damaged; pin again what it was for, or remove it with unpin")


@dataclass(frozen=True)
class RunName:
    """The name of a run record. `began` is in seconds since 1970, by the clock of the machine that wrote it."""

    lane: Lane
    began: float

    def __str__(self) -> str:
        began = datetime.fromtimestamp(self.began, UTC).strftime(_TIME)
        return f"{RUNS}{self.lane.scope}/{began}-{self.lane.lane}"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """None for an object that is no run record."""
        match = _RUN_NAME.fullmatch(name)
        if not match:
            return None
        scope, began, lane = match.groups()
        try:
            at = datetime.strptime(began, _TIME).replace(tzinfo=UTC).timestamp()
        except ValueError:
            return None
        return cls(Lane(scope, lane), at)


@dataclass(frozen=True)
class RunRecord:
    """The hash parts of the paths that a run used, without those that others of them refer to."""

    roots: frozenset[str]

    def encode(self) -> bytes:
        """The object. Of too many roots the last in the alphabet are left out."""
        return run_codec.pack(
            {"kind": _RUN}, "".join(f"{each}\n" for each in sorted(self.roots)[: run_codec.MOST_ROOTS])
        )

    @classmethod
    def read(cls, cache: ObjectCache, name: str) -> RunRecord | None:
        """The record of this name; None if there is none. Raises CacheError if it is damaged, and CacheBusy."""
        text = _text(cache, name, _RUN)
        return None if text is None else cls(frozenset(filter(_HASH.fullmatch, text.split("\n"))))


@dataclass(frozen=True)
class Revision:
    """What was pinned at a time, in seconds since 1970: base names of store paths."""

    at: float
    bases: tuple[str, ...]


@dataclass(frozen=True)
class Pin:
    """`revisions` are the newest first. Of them `keep_revisions` are kept, each for `keep_days`; None is for ever."""

    revisions: tuple[Revision, ...]
    keep_revisions: int = 1
    keep_days: int | None = None

    def added(self, bases: Sequence[str], now: float, keep_revisions: int, keep_days: int | None) -> Pin:
        """The pin with one revision more, and these limits from now on."""
        revisions = (Revision(now, tuple(bases)), *self.revisions)[:keep_revisions]
        return Pin(revisions, keep_revisions, keep_days)

    def kept(self, now: float) -> tuple[Revision, ...]:
        """The revisions that are kept at a time. One of a clock that is fast is kept as if it were of now."""
        longest = float("inf") if self.keep_days is None else self.keep_days * DAY
        return tuple(each for each in self.revisions[: self.keep_revisions] if now - each.at < longest)

    def roots(self, now: float) -> frozenset[str]:
        """The hash parts that are kept at a time."""
        return frozenset(base[:HASH_PART] for each in self.kept(now) for base in each.bases)

    def encode(self) -> bytes:
        head = {"kind": _PIN, "keep_revisions": self.keep_revisions, "keep_days": self.keep_days}
        lines = (" ".join([str(int(each.at)), *each.bases]) for each in self.revisions)
        return run_codec.pack(head, "".join(f"{line}\n" for line in lines))

    @classmethod
    def read(cls, cache: ObjectCache, name: str) -> Pin | None:
        """The pin in the object of this name; None if there is none.

        Raises DamagedPinError, CacheError and CacheBusy.
        """
        try:
            found = run_codec.read(cache, name, _OBJECT)
        except run_codec.MalformedError:
            raise DamagedPinError(name) from None
        if found is None:
            return None
        head, text = found
        revisions, days = head.get("keep_revisions"), head.get("keep_days")
        if head.get("kind") != _PIN or not _is_count(revisions) or not (days is None or _is_count(days)):
            raise DamagedPinError(name)
        assert isinstance(revisions, int), "it is a count"
        return cls(tuple(_revision(name, line) for line in text.splitlines()), revisions, days)


def pin_object(name: str) -> str:
    """The name of a pin's object. Raises InputError."""
    if not _PIN_NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name of a pin; take up to 100 letters, digits, and any of . _ + -")
    return f"{PINS}{name}"


def pin_name(name: str) -> str | None:
    """The name of the pin in this object; None if it is none."""
    pin = name.removeprefix(PINS)
    return pin if name.startswith(PINS) and _PIN_NAME.fullmatch(pin) else None


def _text(cache: ObjectCache, name: str, kind: str) -> str | None:
    found = run_codec.read(cache, name, _OBJECT)
    if found is None:
        return None
    head, text = found
    if head.get("kind") != kind:
        raise CacheError(f"{name} is no {kind} record")
    return text


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**6


def _revision(name: str, line: str) -> Revision:
    at, *bases = line.split(" ")
    if not _NUMBER.fullmatch(at) or not all(map(BASE_NAME.fullmatch, bases)):
        raise DamagedPinError(name)
    return Revision(float(at), tuple(bases))
