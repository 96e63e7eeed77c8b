"""Where store paths are pushed to. A new destination is a file here and a row in `schemes`.

An `ObjectCache` keeps named objects, and we make narinfos and archives for it. A `PathCache` takes whole store
paths and does all of that by itself, in whatever way it has.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from ..nix.keys import SecretKey
from ..nix.store import Nix, StorePath
from ..nix.store_url import CacheUrl

if TYPE_CHECKING:
    from ..aws import Login

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
    login: Login | None = None


def begin(url: CacheUrl, environ: Mapping[str, str], count: int) -> Cache | None:
    """A cache that `count` connections are opened to in the background; None for one that needs to know more first."""
    if url.scheme not in {"http", "https"}:
        return None
    from .http import Http

    cache = Http(url, environ)
    cache.begin(count)
    return cache


def open_cache(url: CacheUrl, access: Access) -> Cache:
    """The backend for a store URL. Asks nothing of the network yet. Raises InputError for bad parameters."""
    module, _, function = url.row.opener.rpartition(".")
    opened: Cache = getattr(import_module(module), function)(url, access)
    return opened
