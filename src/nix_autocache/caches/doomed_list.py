"""What the collector and the pushers of a cache tell each other: names and formats of the objects in `autocache/gc/`.

The collector announces in `doomed` what it will delete, and says in `begun` that it has begun. A pusher that needs
something on the list claims it before that. docs/garbage-collection.md has the protocol. Names are compared by their
first characters only: a false match costs a claim, or keeps an object for longer.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

from ..errors import CacheError
from ..system.dataclass import dataclass, field
from . import run_codec
from .protocol import ObjectCache

FOLDER: Final = "autocache/gc"
DOOMED: Final = f"{FOLDER}/doomed"
BEGUN: Final = f"{FOLDER}/begun"
CLAIMS: Final = f"{FOLDER}/claims"

VIEW: Final = 300.0  # seconds: a pusher publishes nothing by a list that it read longer ago
IN_FLIGHT: Final = 600.0  # seconds: a request takes effect in this time or never
WAIT: Final = VIEW + IN_FLIGHT  # seconds between the announcement and the deletion, at least

_WIDTH: Final = 10  # characters; 50 bits of a hash in Nix's base 32
_MOST: Final = 2_500_000  # names on a list: some 27 MB of text, which run_codec reads
_CLAIMED: Final = 1 << 20  # bytes of text of a claim
_CLAIM: Final = re.compile(rf"{CLAIMS}/([0-9]{{1,15}})-[0-9a-f]{{8,64}}-[0-9]{{1,9}}")


class DamagedError(CacheError):
    """An object of the protocol that this program could not have written.

    A pusher publishes nothing while it is there, and a collector deletes nothing because of it.
    """


def key(name: str) -> str:
    """By which an object is on a list: `<hash part>.narinfo`, `nar/<archive>`, or a hash part alone."""
    return name.rpartition("/")[2][:_WIDTH].ljust(_WIDTH, "_").replace("\n", "_")


@dataclass(frozen=True)
class Keys:
    """A set of keys, 11 bytes each: `text` has them sorted, each with a line feed."""

    text: bytes = b""

    @classmethod
    def of(cls, names: Iterable[str]) -> Keys:
        """The keys of objects. Of too many, some are left out: they are announced the next time."""
        found = sorted({key(name).encode("utf-8", "replace")[:_WIDTH] for name in names})
        return cls(b"".join(chain.from_iterable((each, b"\n") for each in found[:_MOST])))

    @classmethod
    def decode(cls, text: str) -> Keys:
        """Raises ValueError unless it is as `text`."""
        data = text.encode()
        lines = data.split(b"\n")
        if lines.pop() or any(len(line) != _WIDTH for line in lines) or lines != sorted(lines):
            raise ValueError("its names are not sorted keys")
        return cls(data)

    def __contains__(self, name: object) -> bool:
        wanted = key(str(name)).encode("utf-8", "replace")[:_WIDTH]
        place = bisect_left(range(len(self)), wanted, key=self._at)
        return place < len(self) and self._at(place) == wanted

    def __iter__(self) -> Iterator[str]:
        return (self._at(number).decode("utf-8", "replace") for number in range(len(self)))

    def __len__(self) -> int:
        return len(self.text) // (_WIDTH + 1)

    def _at(self, number: int) -> bytes:
        return self.text[number * (_WIDTH + 1) : number * (_WIDTH + 1) + _WIDTH]


@dataclass(frozen=True)
class DoomedList:
    """What is announced. `epoch` grows with each list; `at` is when, in seconds since 1970, for people.

    A list that is not `announced` is idle: the sweep is over, and it has no keys.
    """

    epoch: int
    at: int
    announced: bool = False
    keys: Keys = field(default_factory=Keys)

    def encode(self) -> bytes:
        phase = "announced" if self.announced else "idle"
        head = {"kind": "doomed", "epoch": self.epoch, "at": self.at, "phase": phase}
        return run_codec.pack(head, self.keys.text.decode())

    @classmethod
    def read(cls, cache: ObjectCache) -> DoomedList | None:
        """The cache's list; None if nothing was ever collected there. Raises DamagedError, CacheError and CacheBusy."""
        found = _read(cache, DOOMED, "doomed", run_codec.LARGEST)
        if found is None:
            return None
        head, text = found
        at, phase = head.get("at"), head.get("phase")
        if not isinstance(at, int) or phase not in {"announced", "idle"}:
            raise DamagedError(f"{DOOMED}: its first line is incomplete")
        return cls(_epoch(head, DOOMED), at, phase == "announced", _keys(text, DOOMED))


def encode_begun(epoch: int) -> bytes:
    """The object that says that the deletion of this list has begun."""
    return run_codec.pack({"kind": "begun", "epoch": epoch}, "")


def read_begun(cache: ObjectCache) -> int | None:
    """The epoch of the list whose deletion has begun; None if there is none. Raises as `DoomedList.read`."""
    found = _read(cache, BEGUN, "begun", _CLAIMED)
    return None if found is None else _epoch(found[0], BEGUN)


@dataclass(frozen=True)
class Claim:
    """What a pusher needs of a list, by the names of the objects."""

    epoch: int
    keys: Keys

    @staticmethod
    def name(epoch: int, run: str, number: int) -> str:
        """The name of a claim. `run` is 8 to 64 hexadecimal digits that no other uploader has; each claim of a run has
        another number."""
        return f"{CLAIMS}/{epoch}-{run}-{number}"

    @staticmethod
    def epoch_of(name: str) -> int | None:
        """The epoch of the claim of this name; None for any other object."""
        found = _CLAIM.fullmatch(name)
        return int(found[1]) if found else None

    def encode(self) -> bytes:
        return run_codec.pack({"kind": "claim", "epoch": self.epoch}, self.keys.text.decode())

    @classmethod
    def read(cls, cache: ObjectCache, name: str) -> Claim | None:
        """Raises DamagedError, CacheError and CacheBusy."""
        found = _read(cache, name, "claim", run_codec.LARGEST)
        return found and cls(_epoch(found[0], name), _keys(found[1], name))


def _read(cache: ObjectCache, name: str, kind: str, largest: int) -> tuple[Mapping[str, object], str] | None:
    try:
        found = run_codec.read(cache, name, largest)
    except run_codec.MalformedError as error:
        raise DamagedError(f"{name}: {error}") from None
    if found and found[0].get("kind") != kind:
        raise DamagedError(f"{name}: it is no {kind}")
    return found


def _keys(text: str, name: str) -> Keys:
    try:
        return Keys.decode(text)
    except ValueError as error:
        raise DamagedError(f"{name}: {error}") from None


def _epoch(head: Mapping[str, object], name: str) -> int:
    epoch = head.get("epoch")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
        raise DamagedError(f"{name}: it has no epoch")
    return epoch
