"""A throwaway cache as Nix reads it: this period's prefix, and behind it that of the period before.

Only the read proxy uses it. The uploader has this period's alone: what it needs of the other one counts as missing, and
is pushed again. Archives are named by their content, so they can be taken from either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from .protocol import Body, Content, ObjectCache, VisibleAtOnce

T = TypeVar("T")


class RotatedCache(VisibleAtOnce):
    """Used from many threads at once."""

    def __init__(self, now: ObjectCache, before: ObjectCache) -> None:
        self._now, self._before = now, before
        self._here: set[str] = set()

    def is_here(self, name: str) -> bool:
        """True for an object that this period was seen to have. Sends no request.

        False for others, and for the narinfos of a run index, which may name what only the period before has.
        """
        return name in self._here

    def open_connections(self, count: int) -> None:
        self._now.open_connections(count)
        self._before.open_connections(count)

    def close_connections(self) -> None:
        self._now.close_connections()
        self._before.close_connections()

    @property
    def together(self) -> int:
        return min(self._now.together, self._before.together)

    def get(self, name: str) -> bytes | None:
        return self._first(name, self._now.get, self._before.get)

    def open(self, name: str) -> Content | None:
        return self._first(name, self._now.open, self._before.open)

    def exists(self, name: str) -> bool:
        return self._now.exists(name) or self._before.exists(name)

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        now = self._now.get_many(names)
        found = {name: text for name, text in now.items() if text is not None}
        self._here.update(found)
        missing = [name for name in now if name not in found]
        return {**found, **(self._before.get_many(missing) if missing else {})}

    def put(self, name: str, body: Body, content_type: str) -> None:
        self._now.put(name, body, content_type)

    def _first(self, name: str, now: Callable[[str], T | None], before: Callable[[str], T | None]) -> T | None:
        if (found := now(name)) is None:
            return before(name)
        self._here.add(name)
        return found
