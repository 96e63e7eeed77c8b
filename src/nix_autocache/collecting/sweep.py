"""Deletes paths that were announced: referrers before what they refer to, each level confirmed before the next.

A path that cannot be deleted spares what it refers to, so the cache is closed wherever this is stopped. In a circle of
references nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ..caches.protocol import Collectable
from ..system.dataclass import dataclass, field
from .look import Look, Tell

_AT_ONCE: Final = 1000  # names in a call


@dataclass
class Swept:
    """What was deleted, in narinfos, archives and bytes, and what could not be: names, with why."""

    paths: set[int] = field(default_factory=set)
    archives: int = 0
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweeper:
    """`renew` is called before each request that deletes, and may raise."""

    cache: Collectable
    renew: Callable[[], None]
    tell: Tell

    def sweep(self, look: Look, doomed: Iterable[int], archives: Sequence[int]) -> Swept:
        """Delete paths, and archives by their places, whose names are known; `look` learns that they are gone.

        Raises what `renew` and a cache raise.
        """
        swept = Swept()
        wanted = set(doomed)
        for level in self._levels(look, wanted, swept):
            self._delete_level(look, level, swept)
            if len(wanted) > _AT_ONCE:
                self.tell(f"{len(swept.paths):,} of {len(wanted):,} paths deleted")
        names = [look.archives.names[place] for place in archives]
        links = [link for name in names for link in look.of_archives.get(name, ())]
        failed = self._delete([*links, *names], swept)
        gone = [place for place in archives if look.archives.names[place] not in failed]
        swept.archives = len(gone)
        for place in gone:
            look.archives.gone[place] = 1
        swept.bytes += sum(look.archives.sizes[place] for place in gone)
        return swept

    def _levels(self, look: Look, wanted: set[int], swept: Swept) -> Iterator[list[int]]:
        """The paths of which all referrers are gone; what is in `swept` by then decides about the next level."""
        graph = look.graph
        referrers = dict.fromkeys(wanted, 0)
        for path in wanted:
            for reference in graph.refers_to(path):
                if reference in referrers:
                    referrers[reference] += 1
        level = [path for path, count in referrers.items() if not count]
        while level:
            yield level
            following = []
            for path in level:
                for reference in graph.refers_to(path) if path in swept.paths else ():
                    if reference in referrers:
                        referrers[reference] -= 1
                        if not referrers[reference]:
                            following.append(reference)
            level = following

    def _delete_level(self, look: Look, level: Sequence[int], swept: Swept) -> None:
        """Realisations and listings first: a path keeps those that it still has."""
        followers = {path: look.followers.get(path, []) for path in level}
        failed = self._delete([name for names in followers.values() for name in names], swept)
        names = {
            f"{look.graph.hash_part(path)}.narinfo": path
            for path in level
            if not any(name in failed for name in followers[path])
        }
        failed = self._delete(list(names), swept)
        gone = [path for name, path in names.items() if name not in failed]
        swept.paths.update(gone)
        for path in gone:
            look.present[path] = 0
            swept.bytes += look.sizes[path]

    def _delete(self, names: Sequence[str], swept: Swept) -> set[str]:
        """Returns those that may be there still."""
        failed: dict[str, str] = {}
        for start in range(0, len(names), _AT_ONCE):
            self.renew()
            failed.update(self.cache.delete(names[start : start + _AT_ONCE]))
        swept.failed.update(failed)
        return set(failed)
