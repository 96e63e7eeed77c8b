"""What the uploader and the read proxy ask of a destination.

An `ObjectCache` keeps named objects, and we make narinfos and archives for it. A `PathCache` takes whole store
paths and does all of that by itself, in whatever way it has.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from ..nix.keys import SecretKey
from ..nix.store import Nix, StorePath

if TYPE_CHECKING:
    from .aws import AwsCredentials

Body: TypeAlias = bytes | Iterable[bytes]
"""All of it, or its pieces, which can be gone through again: some servers must know the size first."""


@dataclass(frozen=True)
class Content:
    """An object that is being read: its size in bytes, if the cache says it, and its pieces, which raise as the
    cache's methods do. Close one that is not read to its end."""

    size: int | None
    pieces: Iterator[bytes]

    def close(self) -> None:
        """Take no more of it."""
        if isinstance(self.pieces, Generator):
            self.pieces.close()


class ObjectCache(Protocol):
    """Used from many threads at once. Every method raises CacheError for good, CacheBusy for now."""

    def get(self, name: str) -> bytes | None:
        """An object's content, of at most a megabyte; None where there is none, or it may not be read.

        Only for `nix-cache-info`, a refusal is raised: see `refusal`.
        """

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        """The content of many objects in a round trip or two, without those that there was no clear answer for.

        A cache that cannot do that answers for none; nothing is raised.
        """

    def open(self, name: str) -> Content | None:
        """The same, piece by piece."""

    def exists(self, name: str) -> bool: ...

    def put(self, name: str, body: Body, content_type: str) -> None:
        """Store an object whole or not at all. If going through its pieces raises, nothing is stored.

        Nothing is raised for what cannot be replaced but is there already.
        """


@runtime_checkable
class PathCache(Protocol):
    """Used from many threads at once. Every method raises CacheError for good, CacheBusy for now."""

    def copy(self, path: StorePath) -> None:
        """Copy a path whose references were copied before."""


Cache: TypeAlias = ObjectCache | PathCache


@dataclass(frozen=True)
class Access:
    """What a backend may use to get in: the environment's credentials and proxies, Nix itself, the signing key.

    `login` is whom the job is in AWS, where that was asked for and is not the environment's own affair.
    """

    environ: Mapping[str, str]
    nix: Nix
    key: SecretKey | None
    login: AwsCredentials | None = None
