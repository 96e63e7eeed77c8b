"""The two kinds of destination, as the uploader and the read proxy use them.

An `ObjectCache` keeps named objects: we make the narinfos and archives for it. A `PathCache` takes whole store paths.
What only some caches can do is a base class of theirs, and no protocol: to look for the methods of a protocol in an
instance, Python loads `inspect`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from ..ci.lane import Lane
from ..nix.keys import SecretKey
from ..nix.store import Nix, StorePath
from ..system.dataclass import dataclass, field

if TYPE_CHECKING:
    from .aws_credentials import AwsCredentials

Body: TypeAlias = bytes | Iterable[bytes]
"""The whole body, or its pieces. The pieces must be iterable twice: some servers must know the size first."""


class Archive:
    """A body that knows the size of the NAR that it holds, in bytes."""

    nar_size: int


@dataclass(frozen=True)
class Content:
    """An object that is being read: its size in bytes, if the cache gives it, and its pieces.

    Iterating raises what the cache's methods raise. Call `close` if you do not read it to its end.
    """

    size: int | None
    pieces: Iterator[bytes]

    @classmethod
    def of(cls, text: bytes) -> Content:
        """The whole of an object that is here."""
        return cls(len(text), iter([text]))

    @classmethod
    def of_found(cls, text: bytes | None) -> Content | None:
        """The same for an object that may be missing."""
        return None if text is None else cls.of(text)

    def close(self) -> None:
        if isinstance(self.pieces, Generator):
            self.pieces.close()


class ObjectCache(Protocol):
    """Used from many threads at once. Every method raises CacheError (permanent) or CacheBusy (retry)."""

    def open_connections(self, count: int) -> None:
        """Open some connections in the background, at most `count`, for what is asked soon. Raises nothing."""

    def close_connections(self) -> None:
        """Close those that nobody uses, and free what they hold. Raises nothing."""

    def get(self, name: str) -> bytes | None:
        """An object's content, at most 1 MB; None if it does not exist or may not be read.

        Only for `nix-cache-info` a refusal is raised: see `http_status`.
        """

    @property
    def together(self) -> int:
        """For how many objects a thread best asks `get_many`, while other threads do the same."""

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        """The content of many objects in a round trip or two. Objects without a clear answer are left out.

        A cache that cannot do this leaves out all of them. Raises nothing.
        """

    def open(self, name: str) -> Content | None:
        """As `get`, but of any size, piece by piece."""

    def exists(self, name: str) -> bool: ...

    def put(self, name: str, body: Body, content_type: str) -> None:
        """Store an object whole or not at all. If iterating over its pieces raises, nothing is stored.

        Raises nothing if the object is there already and cannot be replaced.
        """

    @property
    def seals(self) -> bool:
        """True if others see an object not when it was put, but when it is sealed: by `seal`, or by the cache itself.

        This process finds it with `get` before that.
        """

    def seal(self) -> None:
        """Make everything that was put so far visible to others.

        A narinfo becomes visible only together with, or after, its archive and those of its references. What cannot
        be made visible is lost, with all that needs it: `get` finds it no more, and the next call raises CacheError,
        while all else is visible. After CacheBusy nothing is lost. Nothing may be put meanwhile.
        """

    def sealed(self, name: str) -> bool:
        """True if others see this object, as far as that is known; False if it was put and is not sealed, or was lost.

        Sends no request, and returns at once.
        """


class Indexed(ABC):
    """The part of an `ObjectCache` that looks up at its beginning all that it holds; a question then costs no request.

    Whoever can write to the cache writes what it finds there. It keeps on disk what it reads of archives, if it may.
    """

    @abstractmethod
    def known(self) -> str:
        """What was looked up, for another process of this job. Raises CacheError and CacheBusy."""

    @abstractmethod
    def learn(self, known: str) -> None:
        """Take what `known` returned in another process for looked up, unless it was looked up here."""

    @abstractmethod
    def use(self, names: Iterable[str]) -> None:
        """Note that this job uses these narinfos. Sends no request."""

    @property
    @abstractmethod
    def is_stale(self) -> bool:
        """True if the next jobs gain from a seal, even if nothing was put: they find more, or for longer.

        Sends no request.
        """


class Erasable(ABC):
    """The part of an `ObjectCache` whose objects can be deleted, by those who may."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete an object. Raises nothing if there is none; CredentialsError if these credentials may not."""


class Listed(ABC):
    """The part of an `ObjectCache` that can say which objects it has."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """The names of all objects, in any order; a thousand or so come in a round trip, and are in memory."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in a listing: `size` in bytes; `modified` in seconds since 1970, by the clock of the store."""

    name: str
    size: int
    etag: str
    modified: float


class Collectable(ObjectCache):
    """An `ObjectCache` that can be listed and deleted from, and can put under a condition.

    Every method raises CacheError (permanent) or CacheBusy (retry).
    """

    @abstractmethod
    def objects(self, folder: str = "") -> Iterator[Stored]:
        """The objects of a folder, or all, in any order. An object that is put or deleted meanwhile may be missing."""

    @abstractmethod
    def delete(self, names: Sequence[str]) -> Mapping[str, str]:
        """Delete objects, many in a request where the store can. Returns those that may be there still, with why.

        A name that does not exist counts as deleted.
        """

    @abstractmethod
    def put_if(self, name: str, content: bytes, etag: str | None) -> bool:
        """Put a small object if the one that is there has this ETag; with None, if there is none. False if not so.

        A store that ignores the condition puts it, and returns True.
        """


class VisibleAtOnce:
    """The part of an `ObjectCache` in which others see an object as soon as it was put."""

    seals: Final = False

    def seal(self) -> None:
        """Do nothing."""

    def sealed(self, name: str) -> bool:
        return True


class PathCache(ABC):
    """Used from many threads at once. Every method raises CacheError (permanent) or CacheBusy (retry)."""

    @abstractmethod
    def copy(self, path: StorePath) -> None:
        """Copy one path. Its references must be there already."""


Cache: TypeAlias = ObjectCache | PathCache


@dataclass(frozen=True)
class Access:
    """What a backend may use: the environment's credentials and proxies, Nix, the signing key.

    `credentials` are those of the AWS role that the job assumes, if it has one. With `anonymous`, no request is signed.
    For a cache that the CI host keeps, `lanes` are those that this job reads, its own first, which it alone writes;
    `size_limit` is in bytes, 0 for none.
    `only_reads` is for the read proxy, which asks for many small objects. In `directory` a cache may keep what it
    reads, for as long as the process lives; without one, nowhere.
    """

    environ: Mapping[str, str] = field(repr=False)
    nix: Nix
    key: SecretKey | None
    credentials: AwsCredentials | None = None
    anonymous: bool = False
    lanes: tuple[Lane, ...] = ()
    size_limit: int = 0
    only_reads: bool = False
    directory: Path | None = None
