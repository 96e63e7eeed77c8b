"""One run of the collector: it deletes what an earlier run announced, and announces what is dead now.

So a daily run deletes what was dead for a day, and waits for nothing. With `now` it waits for the pushers, then deletes
what it has announced itself. Whatever it raises, and wherever it is killed, the cache is closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ..caches import run_codec
from ..caches.doomed_list import DamagedError, DoomedList, Keys, key
from ..caches.protocol import Collectable
from ..system.dataclass import dataclass, field
from . import announcing, graph_file, mending
from .lock import Clock, Lock
from .look import Known, Look, Tell, look
from .policy import Dead, Verdict, by_scope, dead, judge
from .policy_inputs import Policy
from .report import Count, Report
from .roots import Roots, roots
from .sweep import Sweeper

_PAUSE: Final = 60.0  # seconds between two signs of life while it waits
_NOTHING: Final = Keys()


@dataclass
class Collector:
    """`tell` gets lines of progress, `alone` is as in `Lock.acquire`. Methods raise Error, CacheError and CacheBusy."""

    cache: Collectable
    policy: Policy
    clock: Clock
    tell: Tell
    alone: bool = False
    report: Report = field(default_factory=Report)

    def collect(self, *, now: bool = False) -> Report:
        """Delete what is announced, and announce; with `now` wait, and delete that too."""
        with self._locked() as lock:
            known = self._known()
            state = announcing.state(self.cache, lock)
            if state.is_damaged:
                self.tell("the list of what is doomed is damaged: nothing is deleted by it, and another is made")
            if state.announced and state.wait and not now:
                self.report.waits, self.report.waiting = state.wait, len(state.announced.keys)
                self._judged(self._look(known, _NOTHING), lock.now())
                return self.report
            self._round(state, lock, known)
            if now and self.report.doomed.paths + self.report.doomed.archives:
                self._round(announcing.state(self.cache, lock), lock, known)
        return self.report

    def preview(self, wall: Callable[[], float] = time.time) -> Report:
        """Say what a run would announce. Puts and deletes nothing."""
        found = self._look(self._known(), _NOTHING)
        now = max(wall(), *(max(times, default=0.0) for times in (found.modified, found.archives.modified)))
        verdict, _ = self._judged(found, now)
        self._doom(found, verdict, now)
        self.report.dry_run = True
        return self.report

    def check(self, elsewhere: mending.Elsewhere, *, dry_run: bool = False) -> Report:
        """Remove narinfos that are not closed, whoever left them so. `elsewhere` knows the readers' other caches."""
        self.report.dry_run = dry_run
        if dry_run:
            found = self._look(self._known(), _NOTHING)
            mending.mend(found, self.cache, elsewhere, None, self.policy.at_most, self.report)
            return self.report
        with self._locked() as lock:
            known = self._known()
            found = self._look(known, _NOTHING)
            mending.mend(found, self.cache, elsewhere, self._sweeper(lock), self.policy.at_most, self.report)
            self._remember(known, found)
        return self.report

    @contextmanager
    def _locked(self) -> Iterator[Lock]:
        """Who fails leaves the lock, as who is killed: others take it over when it is old."""
        lock = Lock.acquire(self.cache, self.clock, alone=self.alone)
        yield lock
        lock.release()

    def _known(self) -> Known:
        return Known(*graph_file.read(self.cache))

    def _remember(self, known: Known, found: Look) -> None:
        content = graph_file.GraphFile(known.graph, found.present, known.links)
        self.cache.put(graph_file.NAME, content, run_codec.CONTENT_TYPE)

    def _look(self, known: Known, announced: Keys) -> Look:
        found = look(self.cache, known, self.tell, announced)
        self.report.read += found.read
        self.report.objects = Count(sum(found.present), len(found.archives), found.bytes)
        return found

    def _sweeper(self, lock: Lock) -> Sweeper:
        return Sweeper(self.cache, lock.renew, self.tell)

    def _round(self, state: announcing.State, lock: Lock, known: Known) -> None:
        """Sweep what is announced, then announce what is dead."""
        announced, epoch = state.announced, state.epoch
        if announced and not state.begun:
            self._wait(state.wait, lock)
            announcing.begin(self.cache, announced)
        found = self._look(known, announced.keys if announced else _NOTHING)
        verdict, kept = self._judged(found, lock.now())
        gone: set[int] = set()
        if announced:
            gone = self._sweep(announced, lock, found, verdict)
        if announced or state.begun or state.is_damaged:
            lock.renew()
            announcing.end(self.cache, epoch, found.own)
            epoch += 1
        if gone:
            del found, verdict  # the next look has as much again: 60 MB for a million paths
            found = mending.after_sweep(lambda: self._look(known, _NOTHING), gone, self._sweeper(lock), self.report)
            verdict, kept = self._judged(found, lock.now())
        keys = self._doom(found, verdict, lock.now())
        lock.renew()
        if len(keys):
            announcing.announce(self.cache, epoch, keys)
        self.cache.delete(kept.over)
        self._remember(known, found)

    def _wait(self, seconds: float, lock: Lock) -> None:
        until = self.clock.now() + seconds
        while (left := until - self.clock.now()) > 0:
            self.tell(f"waiting {left / 60:.0f} minutes for jobs that push: they claim what they need")
            self.clock.wait(min(left, _PAUSE))
            lock.renew()

    def _judged(self, found: Look, now: float) -> tuple[Verdict, Roots]:
        policy = self.policy
        kept = roots(self.cache, found, policy, now, self.tell)
        verdict = judge(found, kept, policy, now)
        self.report.kept, self.report.scopes = verdict.reasons, by_scope(found, kept, verdict.kept)
        return verdict, kept

    def _sweep(self, announced: DoomedList, lock: Lock, found: Look, verdict: Verdict) -> set[int]:
        """Delete what is announced, still dead, and not claimed. Returns the paths that are gone."""
        try:
            claims = announcing.claimed(self.cache, found.own, announced.keys)
        except DamagedError as error:
            self.tell(f"nothing is deleted, since a claim cannot be read: {error}")
            return set()
        dying = dead(found, verdict.kept, self.policy.grace, lock.now())
        paths, archives, spared = _doomed(found, verdict, dying, announced.keys, claims)
        swept = self._sweeper(lock).sweep(found, paths, archives)
        deleted = self.report.deleted
        deleted.paths += len(swept.paths)
        deleted.archives += swept.archives
        deleted.bytes += swept.bytes
        self.report.spared += spared
        self.report.failed |= swept.failed
        return swept.paths

    def _doom(self, found: Look, verdict: Verdict, now: float) -> Keys:
        """The list of what is dead; empty if that is too much at once."""
        dying = dead(found, verdict.kept, self.policy.grace, now)
        self.report.doomed = Count(len(dying.paths), len(dying.archives), dying.bytes)
        if self.policy.max_size is not None:
            self.report.too_large = max(0, found.bytes - dying.bytes - self.policy.max_size)
        share = dying.bytes / max(1, found.bytes)
        if share > self.policy.at_most:
            self.report.refused = (
                f"{share:.0%} of all bytes would be deleted, more than --at-most {self.policy.at_most:.0%}; "
                "see with --dry-run whether that is right, then give a larger --at-most once"
            )
            return _NOTHING
        names = [found.archives.key(place) for place in dying.archives]
        return Keys.of([*map(found.graph.hash_part, dying.paths), *names])


def _doomed(
    found: Look, verdict: Verdict, dying: Dead, announced: Keys, claims: set[str]
) -> tuple[list[int], list[int], int]:
    """The paths and archives that go now, and how many paths are spared.

    What is not on the list stays, and so does what is claimed, with all that it refers to.
    """
    graph, kept = found.graph, bytearray(verdict.kept)
    candidates = {path for path in dying.paths if graph.hash_part(path) in announced}
    graph.reach((path for path in found.paths() if path not in candidates), kept)
    graph.reach((path for path in candidates if key(graph.hash_part(path)) in claims), kept)
    names = found.archives.names
    archives = [place for place in dying.archives if place in names and key(names[place]) not in claims]
    going = [path for path in candidates if not kept[path]]
    return going, archives, len(candidates) - len(going)
