"""Signs a whole cache with a new key: every narinfo, realisation and run index that an old key has signed.

Each object is read, and written if it changes: no archive is touched. It can be killed and run again at any moment.
What another program writes meanwhile may be lost. A garbage collection may run at the same time: a narinfo is written
again only if it is there, and stays.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from ..caches import run_codec
from ..caches.protocol import ObjectCache
from ..caches.retry import Gate, retrying
from ..caches.run_index import RunIndex
from ..errors import CacheBusy, CacheError, CredentialsError, one_line
from ..nix import narinfo, realisation
from ..system.dataclass import dataclass, field
from .doomed import Doomed
from .rotation import Rotation, Signed, What

_AT_ONCE: Final = 32  # objects
_WAITING: Final = 4 * _AT_ONCE  # objects that were listed and are not begun, at most
_LONGEST: Final = 60.0  # seconds that a busy cache is asked for one object
_NARINFO, _REALISATIONS, _REALISATION, _INDEXES = ".narinfo", "realisations/", ".doi", "autocache/index/"


@dataclass
class Counts:
    """Objects by what became of them, those that the cache did not give or take, and why not."""

    paths: Counter[What] = field(default_factory=Counter)
    indexes: int = 0
    failed: int = 0
    why: str = ""


class Resigning:
    """One run over a cache. `tell` gets the counts from time to time, in the thread that called `run`.
    A `dry_run` writes nothing.
    """

    def __init__(
        self, cache: ObjectCache, rotation: Rotation, tell: Callable[[Counts], None], *, dry_run: bool = False
    ) -> None:
        self._cache, self._rotation, self._tell, self._dry_run = cache, rotation, tell, dry_run
        self._stop, self._gate, self.counts = threading.Event(), Gate(), Counts()
        self._doomed = Doomed(None if dry_run else cache)

    def run(self, names: Iterable[str]) -> Counts:
        """Sign those of the objects of these names that may be signed.

        Raises what listing them raises, and CredentialsError if the cache does not take one for want of a right.
        """
        waiting: deque[Future[What | None]] = deque()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                for task in filter(None, map(self._task, names)):
                    waiting.append(pool.submit(retrying, task, self._stop, longest=_LONGEST, gate=self._gate))
                    while len(waiting) > _WAITING:
                        self._count(waiting.popleft())
                while waiting:
                    self._count(waiting.popleft())
            finally:
                self._stop.set()
                for each in waiting:
                    each.cancel()
        return self.counts

    def _count(self, done: Future[What | None]) -> None:
        try:
            what = done.result()
        except CredentialsError:
            raise
        except (CacheError, CacheBusy) as error:
            self.counts.failed += 1
            self.counts.why = one_line(error)
        else:
            if what is None:
                self.counts.indexes += 1
            else:
                self.counts.paths[what] += 1
        self._tell(self.counts)

    def _task(self, name: str) -> Callable[[], What | None] | None:
        """What signs the object; None for an object that carries no signature."""
        if name.endswith(_NARINFO) and "/" not in name:
            return lambda: self._narinfo(name)
        if name.startswith(_REALISATIONS) and name.endswith(_REALISATION):
            return lambda: self._realisation(name)
        return (lambda: self._index(name)) if name.startswith(_INDEXES) else None

    def _narinfo(self, name: str) -> What:
        self._doomed.look()
        epoch = self._doomed.hold([name])
        content = self._cache.get(name)
        signed = self._rotation.narinfo(content, name.removesuffix(_NARINFO)) if content else Signed(What.DAMAGED)
        if signed.content is not None:
            self._doomed.note(name, epoch)
            self._doomed.secure(name, name, ())
        return self._stored(name, signed, narinfo.CONTENT_TYPE)

    def _realisation(self, name: str) -> What:
        content = self._cache.get(name)
        number = name.removeprefix(_REALISATIONS).removesuffix(_REALISATION)
        signed = self._rotation.realisation(content, number) if content else Signed(What.DAMAGED)
        return self._stored(name, signed, realisation.CONTENT_TYPE)

    def _stored(self, name: str, signed: Signed, content_type: str) -> What:
        if signed.content is not None and not self._dry_run:
            self._cache.put(name, signed.content, content_type)
        return signed.what

    def _index(self, name: str) -> None:
        """An index is a hint: a damaged one is none, and the next job of its lane writes another."""
        try:
            found = RunIndex.read(self._cache, name)
        except CacheError:
            return
        if found is None:
            return
        texts = [self._rotation.text(text) for text in found.narinfos.values()]
        if texts != list(found.narinfos.values()) and not self._dry_run:
            self._cache.put(name, RunIndex.of(texts).encode(), run_codec.CONTENT_TYPE)
