"""Writes to the Actions cache: archives go up at once, and are visible with their narinfos when their pack is sealed.

A pack is sealed when it is full, some minutes after its first archive, and by `seal`. A narinfo is in the index that
ends a pack if its archive is in that pack or in an earlier one, and all that it needs is there as well. What could not
be sealed is lost, together with all that needs it, and the next `seal` says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ...errors import CacheBusy, CacheError, Error, as_error, one_line
from ...system import log, threads
from ...system.dataclass import dataclass
from ..protocol import Archive, Body
from ..retry import retrying
from . import trailer
from .big_archives import BIG, BigArchives
from .catalog import Catalog
from .index import DAY, Entry, Item
from .packs import Pack, Sender, begun
from .pending import Pending, Placed

_PATIENCE: Final = 20.0  # seconds for the question what other jobs have sealed, and for what can be left out


@dataclass(frozen=True)
class Limits:
    """When a pack is sealed, in bytes and in seconds after its first archive; the NAR size of an entry of its own."""

    full: int = 128 << 20
    age: float = 20 * 60.0
    big: int = BIG


class Writer:
    """Used from many threads at once. `new_key` makes keys for packs."""

    def __init__(
        self, sender: Sender, bigs: BigArchives, catalog: Catalog, new_key: Callable[[], str], limits: Limits
    ) -> None:
        self._sender, self._bigs, self._catalog, self._new_key, self._limits = sender, bigs, catalog, new_key, limits
        self.pending = Pending()
        self._sealing = threading.Lock()  # taken before `_appending`
        self._appending = threading.Lock()
        self._never = threading.Event()
        self._open: Pack | None = None
        self._timer = threading.Timer(0, lambda: None)  # the open pack's
        self._ended: list[Pack] = []  # to be sealed
        self._entries: dict[str, Entry] = {}  # finished entries of this process

    def put_archive(self, name: str, body: Body) -> None:
        """Upload an archive. If iterating over it raises, there is none. Raises ReadOnly, CacheError and CacheBusy."""
        if self.pending.has_archive(name):
            return
        if isinstance(body, Archive) and body.nar_size >= self._limits.big:
            self._place(name, *self._bigs.put(name, body))
        else:
            self._pack(name, body)

    def put_item(self, item: Item) -> None:
        """Have it in the next index. Raises CacheError if its archive, or what it needs, is no longer there."""
        is_elsewhere = item.archive and not self.pending.has_archive(item.archive)
        self.pending.add(item, self._catalog.archive(item.archive) if is_elsewhere else None, self._catalog.has_lost)

    def seal(self) -> None:
        """Make all that was put visible. Raises CacheError if something was lost since the last call."""
        with self._sealing:
            with self._appending:
                if self._open:
                    self._end(self._open)
            self._look()
            self._settle_bigs()
            self._seal_ended()
            if self.pending.ready(self._entries) or self._catalog.is_stale:
                self._seal_rest()
            self.pending.lose_all(CacheError("its archive is in no entry of the Actions cache"))
            failure = self.pending.take_failure()
        if failure:
            raise failure if isinstance(failure, CacheError) else CacheError(one_line(failure))

    def _pack(self, name: str, body: Body) -> None:
        pieces = begun(body)
        with self._appending:
            pack = self._opened()
            offset = pack.size
            try:
                for piece in pieces:
                    pack.append(piece)
            except BaseException:
                if pack.error:
                    self._open = None
                    self._timer.cancel()
                    self.pending.lose_entry(pack.key, pack.error)
                raise
            self.pending.place(name, Placed(pack.key, offset, pack.size - offset))
            if is_full := pack.size >= self._limits.full:
                self._end(pack)
        if is_full:
            threads.start(self._seal_in_background, "seal")

    def _place(self, name: str, key: str, size: int) -> None:
        """Note an archive that is an entry of its own."""
        if key:
            self._entries[key] = _entry(size)
        self.pending.place(name, Placed(key, 0, size))

    def _opened(self) -> Pack:
        """The open pack. The caller holds `_appending`."""
        if not self._open:
            pack = self._open = self._sender.pack(self._new_key)
            self._timer = threading.Timer(self._limits.age, self._grow_old, [pack])
            self._timer.daemon = True
            with suppress(RuntimeError):  # this machine starts no further thread: it is sealed later
                self._timer.start()
        return self._open

    def _grow_old(self, pack: Pack) -> None:
        with self._appending:
            if self._open is not pack:
                return
            self._end(pack)
        self._seal_in_background()

    def _end(self, pack: Pack) -> None:
        """Take no more into the open pack. The caller holds `_appending`."""
        self._open = None
        self._timer.cancel()
        self._ended.append(pack)

    def _seal_in_background(self) -> None:
        with self._sealing:
            self._seal_ended()

    def _seal_ended(self) -> None:
        """The caller holds `_sealing`, as for all that follow."""
        while self._ended:
            self._seal(self._ended.pop(0))

    def _look(self) -> None:
        """Take account of what other jobs have sealed. Without an answer the index has only what was known before."""
        if not (self._ended or self.pending or self._catalog.is_stale):
            return
        try:
            retrying(self._catalog.refresh, self._never, longest=_PATIENCE)
        except (CacheBusy, CacheError) as error:
            log.line(f"the Actions cache: what other jobs have added was not looked up: {one_line(error)}")

    def _settle_bigs(self) -> None:
        for name in self._bigs.waiting:
            try:
                self._place(name, *self._bigs.settle(name))
            except BaseException as error:
                self.pending.lose_archives([name], as_error(error))
                if not isinstance(error, Error):
                    raise

    def _seal_rest(self) -> None:
        """Write an index alone: the archives that it tells of lie in other entries.

        If nothing was put, it only saves the next jobs time, and what is built meanwhile does not wait for it long.
        """
        try:
            pack = self._sender.pack(self._new_key, None if self.pending else _PATIENCE)
        except (CacheBusy, CacheError) as error:
            self.pending.lose(self.pending.ready(self._entries), error)
        else:
            self._seal(pack)

    def _seal(self, pack: Pack) -> None:
        new = {pack.key: _entry(pack.size)} if pack.size else {}
        entries = {**self._entries, **new}  # more may be added while the pack is finished
        items = self.pending.ready(entries)
        try:
            index = self._catalog.index_with(pack.key, entries, items)
            pack.finish(trailer.encode(index))
        except BaseException as error:
            if new:
                self.pending.lose_entry(pack.key, as_error(error))
            else:
                self.pending.lose(items, as_error(error))
            if isinstance(error, (CacheBusy, CacheError)):
                return
            raise
        self._entries.update(new)
        self._catalog.adopt(index, entries)
        dropped = items.keys() - index.items.keys()  # first: what is neither pending nor lost counts as sealed
        self.pending.lose(dropped, CacheError("`cache-size` is too small for this job; give it more"))
        self.pending.seal(items)


def _entry(size: int) -> Entry:
    now = int(time.time())
    return Entry(size, now, now // DAY)
