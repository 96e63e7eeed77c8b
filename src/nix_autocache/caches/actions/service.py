"""The service behind the Actions cache, as the rest of this package uses it; `v1` and `v2` are its two protocols.

It keeps entries: immutable, found by the beginning of their key, newest first. Another job's entry may be found seconds
after it was finished, or minutes. Neither links nor the token ever stand in a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from ...errors import CacheBusy, CacheError
from ...system.dataclass import dataclass, field
from ..protocol import Content

BLOCK: Final = 8 << 20  # bytes of each block of an upload but the last


class Expired(CacheBusy):
    """The link is no longer accepted. `find` gives a new one."""


@dataclass(frozen=True)
class Located:
    """A finished entry and the link to read it. The link is a secret; GitHub's are valid for 10 minutes."""

    key: str
    url: str = field(repr=False)


@dataclass(frozen=True)
class Part:
    """Bytes of an entry, and the size of the whole entry.

    `ignores_ranges` is true if the server sends every entry from its beginning: read it once, with `stream`.
    """

    content: bytes = field(repr=False)
    total: int
    ignores_ranges: bool = False


class Upload(Protocol):
    """A reserved entry. Its methods may be called again after CacheBusy; they raise what the service's methods raise.

    GitHub's link is valid for an hour, and then every method raises CacheError.
    """

    def put(self, offset: int, block: bytes) -> None:
        """Store the block at `offset`, a multiple of BLOCK. All but the last are of BLOCK bytes.

        Different threads may put different blocks at once.
        """

    def finish(self, size: int) -> None:
        """Make the entry visible. Its blocks cover 0..size, at least a byte."""


class Calls(Protocol):
    """The part of the service that its two protocols do differently. See ActionsService."""

    def find(self, keys: Sequence[str]) -> Located | None: ...

    def reserve(self, key: str) -> Upload | None: ...


class ActionsService(Protocol):
    """Used from many threads at once.

    Every method raises CacheBusy (a retry after `retry_after` seconds may help), and CacheError for all else that is
    unexpected: then this job has no cache. CredentialsError, one of these, is a refusal to read.
    """

    def find(self, keys: Sequence[str]) -> Located | None:
        """The newest entry whose key begins with one of these, at most 10; an earlier one of them wins.

        None without a request if this job may not read.
        """

    def reserve(self, key: str) -> Upload | None:
        """None if the key is taken, be it by an upload that was never finished. Raises ReadOnly."""

    def read(self, url: str, start: int, end: int) -> Part | None:
        """Bytes `start` to `end`, the last not included, as far as the entry has them. None if it is gone.

        Raises Expired for a link that is no longer accepted.
        """

    def stream(self, url: str, start: int, end: int) -> Content | None:
        """As `read`, but piece by piece. `size` is that of the bytes to come; fewer raise CacheBusy."""

    def close_connections(self) -> None:
        """Close those that nobody uses. Raises nothing."""


def is_found(calls: Calls, key: str) -> bool:
    """True if the entry with exactly this key is there. Raises CacheBusy."""
    with suppress(CacheError):
        found = calls.find([key])
        return found is not None and found.key == key
    return False
