"""When each path of a cache was last used, and which paths go so that the rest fits into a size.

There is one notion of "used" for the directories that a CI host or a machine keeps (`uploader/trim.py`) and for
`gc --max-size`: a path was used when a job used it, or anything that refers to it. What was unused for longest goes
first, and referrers go before their references, so that what is left is closed.

Paths and archives are numbers from 0, in arrays, since a cache may have a million of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ..system.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a cache holds. Each sequence but the last has an item for each path.

    `references` are numbers of paths, `used` is in seconds since 1970, `sizes` are bytes of the path without its
    archive, `archives` are numbers of archives, and `archive_sizes` are the bytes of each archive. Paths may share one.
    """

    references: Sequence[Sequence[int]]
    used: Sequence[float]
    sizes: Sequence[int]
    archives: Sequence[int]
    archive_sizes: Sequence[int]


def referrers_first(references: Sequence[Sequence[int]]) -> array[int]:
    """All paths, each after those that refer to it. A reference to itself counts as none.

    What is in a circle of references, and what that refers to, comes at the end in any order. Nix makes no circles.
    """
    referrers = array("I", [0]) * len(references)
    for path, named in enumerate(references):
        for reference in named:
            referrers[reference] += reference != path
    order = array("I", (path for path, count in enumerate(referrers) if not count))
    for path in order:  # it grows
        for reference in references[path]:
            if reference != path:
                referrers[reference] -= 1
                if not referrers[reference]:
                    order.append(reference)
    order.extend(path for path, count in enumerate(referrers) if count)
    return order


def last_uses(order: Sequence[int], references: Sequence[Sequence[int]], used: Sequence[float]) -> array[float]:
    """When each path, or something that refers to it, was last used. `order` is that of `referrers_first`."""
    last = array("d", used)
    for path in order:
        for reference in references[path]:
            last[reference] = max(last[reference], last[path])
    return last


def surplus(stored: Stored, limit: int) -> list[int]:
    """The paths that go so that at most `limit` bytes are left, referrers before their references.

    An archive goes with the last path that has it.
    """
    order = referrers_first(stored.references)
    last = last_uses(order, stored.references, stored.used)
    sharing = [0] * len(stored.archive_sizes)
    for archive in stored.archives:
        sharing[archive] += 1
    size = sum(stored.sizes) + sum(each for each, count in zip(stored.archive_sizes, sharing, strict=True) if count)
    gone = []
    for path in sorted(order, key=last.__getitem__):  # stable: of the same age, referrers stay first
        if size <= limit:
            break
        gone.append(path)
        archive = stored.archives[path]
        sharing[archive] -= 1
        size -= stored.sizes[path] + (0 if sharing[archive] else stored.archive_sizes[archive])
    return gone
