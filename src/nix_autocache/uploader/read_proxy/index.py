"""What the read proxy knows of the cache before anybody asks: the narinfos in the run indexes of earlier jobs.

An index is a hint that anyone who can write to the cache may have made, and it may be out of date. So a narinfo is
served only with a signature that Nix accepts, and goes with all that refers to it when its archive is gone.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from ...caches.protocol import ObjectCache
from ...caches.run_index import LARGEST, RunIndex
from ...errors import one_line
from ...nix.store import HASH_PART
from ...system import log
from ...system.dataclass import dataclass
from ..presence import fields_of
from .hints import Hints, of_fields, of_narinfo
from .signatures import Signatures

_NAR: Final = "nar/"
_EARLY: Final = 1000  # narinfos that are verified before somebody asks for them, and kept as read: 2 MB
_PATIENCE: Final = 0.5  # seconds to wait for the indexes


@dataclass(frozen=True, slots=True)
class Known:
    """A narinfo that may be served."""

    text: bytes
    hints: Hints


class Index:
    """Used from many threads at once. Empty until `load` has read something."""

    def __init__(self, signatures: Signatures) -> None:
        self._signatures = signatures
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}  # by hash part
        self._verified: set[str] = set()
        self._known: dict[str, Known] = {}  # some of those, by hash part
        self._graph: _Graph | None = None  # made when something is to be forgotten
        self._loaded = threading.Event()
        self._loaded.set()
        self._awaited = 0.0  # until when, on the clock of `time.monotonic`

    def load_soon(self, cache: ObjectCache, names: Sequence[str], filled: Callable[[], None]) -> None:
        """Load in the background; `filled` is called if there was an index.

        A question that comes first waits for it, though not for long: as a rule an index is here as soon as the answer
        to one question would be.
        """
        if names:
            self._awaited = time.monotonic() + _PATIENCE
            self._loaded.clear()
            threading.Thread(target=self.load, args=(cache, names, filled), name="index", daemon=True).start()

    def load(self, cache: ObjectCache, names: Sequence[str], filled: Callable[[], None] = lambda: None) -> None:
        """Read the run indexes of these names, the most important first. What fails is a line in the log."""
        texts: dict[str, str] = {}
        room = LARGEST
        for name in names:
            for hash_part, text in _read(cache, name).items():
                if hash_part not in texts and room >= len(text):
                    texts[hash_part] = text
                    room -= len(text)
        with self._lock:
            self._texts, self._graph = texts, None
        self._loaded.set()
        if texts:
            filled()

    def first(self) -> Iterator[Known]:
        """What is verified before somebody asks for it, the most important index first."""
        return filter(None, map(self.get, list(self._texts)[:_EARLY]))

    def __contains__(self, hash_part: str) -> bool:
        return hash_part in self._texts

    @property
    def is_awaited(self) -> bool:
        """True while `get` would wait for the indexes."""
        return not self._loaded.is_set() and time.monotonic() < self._awaited

    def get(self, hash_part: str) -> Known | None:
        """The narinfo of the path with this hash part; None if there is none that may be served."""
        if self.is_awaited:
            self._loaded.wait(max(0.0, self._awaited - time.monotonic()))
        if kept := self._known.get(hash_part):
            return kept
        text = self._texts.get(hash_part)
        if text is None:
            return None
        known = self._checked(text.encode(), is_verified=hash_part in self._verified)
        with self._lock:
            if not known:
                self._texts.pop(hash_part, None)
            elif hash_part in self._texts:
                self._verified.add(hash_part)
                if len(self._known) < _EARLY:
                    self._known[hash_part] = known
        return known

    def closure(self, bases: Iterable[str], is_done: Callable[[str], bool]) -> tuple[list[Hints], list[str]]:
        """The closure of the paths with these base names, without those that are done, and what only they refer to.

        First comes what is known of its paths, each before its references. Then come the base names of others.
        """
        found: list[Hints] = []
        others: list[str] = []
        seen: set[str] = set()
        waiting: list[str | Hints] = list(bases)
        while waiting:
            each = waiting.pop()
            if isinstance(each, Hints):
                found.append(each)
            elif each not in seen and not is_done(each):
                seen.add(each)
                if known := self.get(each[:HASH_PART]):
                    waiting += [known.hints, *known.hints.references]
                else:
                    others.append(each)
        return found[::-1], others

    def forget(self, archive: str) -> Sequence[str]:
        """Take out the narinfos that name this archive, and all that refer to them; the hash parts of the former.

        Call it for any object that is gone.
        """
        if not archive.startswith(_NAR) or not self._texts:
            return ()
        with self._lock:
            self._graph = self._graph or _Graph(self._texts)
            named = [each for each in self._graph.by_archive.get(archive, ()) if each in self._texts]
            waiting = list(named)
            while waiting:
                hash_part = waiting.pop()
                self._known.pop(hash_part, None)
                if self._texts.pop(hash_part, None):
                    waiting += self._graph.referrers.get(hash_part, ())
        return named

    def _checked(self, text: bytes, *, is_verified: bool) -> Known | None:
        fields = fields_of(text)
        hints = fields and of_fields(fields)
        if not fields or not hints or not hints.archive:
            return None
        return Known(text, hints) if is_verified or self._signatures.accepts(fields) else None


def _read(cache: ObjectCache, name: str) -> Mapping[str, str]:
    try:
        found = RunIndex.read(cache, name)
        return found.narinfos if found else {}
    except Exception as error:  # Nix is answered without it
        log.line(f"{name} is not used: {one_line(error)}")
        return {}


class _Graph:
    """Hash parts by the archive that their narinfos name, and those of what refers to each."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.by_archive: defaultdict[str, list[str]] = defaultdict(list)
        self.referrers: defaultdict[str, list[str]] = defaultdict(list)
        parts = {hash_part: hash_part for hash_part in texts}  # so that each is in memory once
        for hash_part, text in texts.items():
            hints = of_narinfo(text.encode())
            if hints and hints.archive:
                self.by_archive[hints.archive.name].append(hash_part)
                for base in hints.references:
                    if known := parts.get(base[:HASH_PART]):
                        self.referrers[known].append(hash_part)
