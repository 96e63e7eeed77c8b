"""What must be kept, from run records, pins and a file of the user's: hash parts of paths, with when they were used.

Times are those of the store. Of each job (lane) the newest runs are kept whatever their age, unless their branch
(scope) has others that are much newer: then the job is no longer there.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from ..caches.protocol import Collectable
from ..caches.run_record import DAY, Pin, RunName, RunRecord, pin_name
from ..errors import CacheError, InputError, one_line
from ..nix.store import BASE_NAME, HASH_PART
from ..system.dataclass import dataclass, field
from .graph import number_of
from .look import Look, Tell
from .policy_inputs import Policy
from .reading import read_each

_INDEXES: Final = "autocache/index/"
_ALWAYS: Final = float("inf")
_PATH: Final = re.compile(rf"(?:/\S*/)?({BASE_NAME.pattern})(?:\s.*)?")


@dataclass
class Roots:
    """Why paths are kept: for each reason the hash parts, as numbers, and for each scope those of its run records.
    `used` has the last use of each, infinite for what is kept at any age. `over` are run records and run indexes that
    keep nothing any more.

    Only those of `paths` are noted: who can write to the cache may name any number of others.
    """

    paths: Container[int]
    by_reason: dict[str, set[int]] = field(default_factory=dict)
    by_scope: dict[str, set[int]] = field(default_factory=dict)
    used: dict[int, float] = field(default_factory=dict)
    over: list[str] = field(default_factory=list)

    def add(self, reason: str, parts: Iterable[str], used: float, scope: str = "") -> None:
        numbers = {number for part in parts if (number := number_of(part)) in self.paths}
        self.by_reason.setdefault(reason, set()).update(numbers)
        if scope:
            self.by_scope.setdefault(scope, set()).update(numbers)
        for number in numbers:
            self.used[number] = max(used, self.used.get(number, 0.0))


def roots(cache: Collectable, look: Look, policy: Policy, now: float, tell: Tell) -> Roots:
    """What is kept by the objects below `autocache/`, and the hash parts that the policy gives.

    `now` is the time of the store. Raises CacheError for a damaged pin, and CacheBusy.
    """
    own, found, longest = look.own, Roots(look.graph.hashes), policy.keep_days * DAY
    found.add("--roots", policy.given, _ALWAYS)
    for _, pin in read_each([each.name for each in own if pin_name(each.name)], partial(Pin.read, cache)):
        found.add("pins", pin.roots(now) if pin else (), _ALWAYS)
    runs = {each.name: (run, each.modified) for each in own if (run := RunName.parse(each.name))}
    newest = _newest(list(runs.values()), longest, policy.keep_runs)
    found.over = [name for name, (run, modified) in runs.items() if run not in newest and modified < now - longest]
    over = set(found.over)
    for name, record in run_records(cache, [name for name in runs if name not in over], tell):
        run, modified = runs[name]
        found.add("run records", record.roots, _ALWAYS if run in newest else modified, run.lane.scope)
    indexes = {run.lane.index for name, (run, _) in runs.items() if name not in over}
    old = (each.name for each in own if each.name.startswith(_INDEXES) and each.modified < now - longest)
    found.over += [name for name in old if name not in indexes]
    return found


def _newest(runs: Sequence[tuple[RunName, float]], longest: float, count: int) -> set[RunName]:
    """The newest `count` of each lane, unless their scope has one that is newer by more than `longest` seconds."""
    kept: set[RunName] = set()
    scopes: dict[str, float] = {}
    lanes: dict[object, list[tuple[float, float, RunName]]] = {}
    for run, modified in runs:
        scopes[run.lane.scope] = max(modified, scopes.get(run.lane.scope, 0.0))
        lanes.setdefault(run.lane, []).append((modified, run.began, run))
    for of_lane in lanes.values():
        of_lane.sort(key=lambda each: each[:2], reverse=True)
        kept |= {run for modified, _, run in of_lane[:count] if modified >= scopes[run.lane.scope] - longest}
    return kept


def run_records(cache: Collectable, names: Sequence[str], tell: Tell) -> Iterator[tuple[str, RunRecord]]:
    """The run records of these names. A damaged one is a hint less: young narinfos are kept without it."""

    def read(name: str) -> RunRecord | CacheError | None:
        try:
            return RunRecord.read(cache, name)
        except CacheError as error:
            return error

    for name, found in read_each(names, read):
        if isinstance(found, CacheError):
            tell(f"{name} is damaged and keeps nothing: {one_line(found)}")
        elif found:
            yield name, found


def from_file(text: str, name: str) -> list[str]:
    """The hash parts of store paths, one a line; what follows a space, and lines that begin with #, are ignored.

    Raises InputError for anything else.
    """
    parts = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _PATH.fullmatch(line.strip())
        if not match:
            raise InputError(f"--roots: line {number} of {name} is no store path: {line.strip()[:80]!r}")
        parts.append(match[1][:HASH_PART])
    return parts
