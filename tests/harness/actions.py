"""An Actions cache in memory: branches that do not see each other, lookups that lag, evictions, jobs that are killed.

It keeps the promises of `ActionsService` and nothing more. `Repository` is the service, `Job` what a job has of it.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nix_autocache.caches.actions.cache import ActionsCache
from nix_autocache.caches.actions.keys import Place
from nix_autocache.caches.actions.service import BLOCK, Expired, Located, Part
from nix_autocache.caches.actions.writer import Limits
from nix_autocache.caches.protocol import Content
from nix_autocache.ci.lane import Lane
from nix_autocache.errors import CacheBusy, CacheError
from nix_autocache.nix import base32
from nix_autocache.nix.keys import SecretKey
from nix_autocache.nix.narinfo import NarFile, render
from nix_autocache.nix.store import PathInfo, StorePath

STORE = "/nix/store"
SYSTEM = "x86_64-linux"
TEMPORARY = Path(tempfile.gettempdir())


class Killed(SystemExit):
    """The job's process is gone. Nothing that it does reaches the service any more."""


@dataclass
class Stored:
    """A finished entry, which other jobs find `at` this time."""

    scope: str
    key: str
    content: bytes
    at: int


@dataclass
class Repository:
    """`now` is the time, in ticks. A reservation is `taken` for ever."""

    entries: list[Stored] = field(default_factory=list)
    taken: set[tuple[str, str]] = field(default_factory=set)
    now: int = 0
    lag: int = 0  # of entries that are finished from now on

    def evict(self, key: str) -> None:
        self.entries = [each for each in self.entries if each.key != key]

    @property
    def stored(self) -> list[str]:
        """The keys of its entries, the oldest first."""
        return [each.key for each in self.entries]


@dataclass
class Job:
    """`scopes` are those that it reads, its own first. It is killed after `calls_left` further calls.

    Each call first raises the next of `troubles` for its method.
    """

    repository: Repository
    scopes: Sequence[str]
    calls_left: int = 1_000_000
    calls: Counter[str] = field(default_factory=Counter)
    troubles: dict[str, list[Exception]] = field(default_factory=dict)
    ignores_ranges: bool = False
    expired: set[str] = field(default_factory=set)
    links: int = 0
    cut: int = 0  # bytes after which the next stream breaks off; 0 for none
    lock: threading.RLock = field(default_factory=threading.RLock)

    def called(self, method: str) -> None:
        with self.lock:
            if self.calls_left <= 0:
                raise Killed
            self.calls_left -= 1
            self.calls[method] += 1
            if troubles := self.troubles.get(method):
                raise troubles.pop(0)

    def find(self, keys: Sequence[str]) -> Located | None:
        self.called("find")
        for scope in self.scopes:
            for key in keys:
                for each in reversed(self.repository.entries):
                    if each.scope == scope and each.key.startswith(key) and each.at <= self.repository.now:
                        self.links += 1
                        return Located(each.key, f"{scope} {each.key} {self.links}")
        return None

    def reserve(self, key: str) -> Reserved | None:
        self.called("reserve")
        if (self.scopes[0], key) in self.repository.taken:
            return None
        self.repository.taken.add((self.scopes[0], key))
        return Reserved(self, key)

    def read(self, url: str, start: int, end: int) -> Part | None:
        self.called("read")
        content = self.content(url)
        return None if content is None else Part(content[start:end], len(content), self.ignores_ranges)

    def stream(self, url: str, start: int, end: int) -> Content | None:
        self.called("stream")
        content = self.content(url)
        return None if content is None else Content(len(content[start:end]), self.pieces(content[start:end]))

    def pieces(self, content: bytes) -> Iterator[bytes]:
        for start in range(0, len(content), 10_000):
            if self.cut and start >= self.cut:
                self.cut = 0
                raise CacheBusy("the connection was closed")
            yield content[start : start + 10_000]

    def content(self, url: str) -> bytes | None:
        if url in self.expired:
            raise Expired("403")
        scope, key, _ = url.split(" ")
        found = (each.content for each in self.repository.entries if (each.scope, each.key) == (scope, key))
        return next(found, None)

    def close_connections(self) -> None: ...


@dataclass
class Reserved:
    job: Job
    key: str
    blocks: dict[int, bytes] = field(default_factory=dict)

    def put(self, offset: int, block: bytes) -> None:
        self.job.called("put")
        assert offset % BLOCK == 0
        assert 0 < len(block) <= BLOCK
        self.blocks[offset] = block

    def finish(self, size: int) -> None:
        self.job.called("finish")
        content = b"".join(self.blocks[offset] for offset in sorted(self.blocks))
        assert len(content) == size > 0
        assert all(offset == BLOCK * number for number, offset in enumerate(sorted(self.blocks)))
        repository = self.job.repository
        repository.entries.append(Stored(self.job.scopes[0], self.key, content, repository.now + repository.lag))


def scope_of(branch: str) -> str:
    return hashlib.sha256(branch.encode()).hexdigest()[:16]


def opened(
    job: Job, lane: int, limits: Limits | None = None, size: int = 1 << 30, directory: Path | None = TEMPORARY
) -> ActionsCache:
    """The cache as a process of this job has it."""
    places = [Place(Lane(scope, f"{lane:08x}"), SYSTEM) for scope in job.scopes]
    return ActionsCache(job, places, {"GITHUB_RUN_ID": "7"}, STORE, size, limits or Limits(), directory)


def base(number: int) -> str:
    return f"{number:032d}-path"


def narinfo_name(number: int) -> str:
    return f"{number:032d}.narinfo"


def archive_name(content: bytes) -> str:
    return f"nar/{base32.encode(hashlib.sha256(content).digest())}.nar.zst"


def narinfo(number: int, archive: bytes, references: Sequence[int] = (), key: SecretKey | None = None) -> bytes:
    digest = base32.encode(hashlib.sha256(archive).digest())
    paths = tuple(StorePath(f"{STORE}/{base(each)}") for each in references)
    info = PathInfo(StorePath(f"{STORE}/{base(number)}"), "", paths, f"sha256:{digest}", len(archive), "", ())
    return render(info, NarFile(archive_name(archive), "zstd", digest, len(archive)), key).encode()


def push(
    cache: ActionsCache, number: int, archive: bytes, references: Sequence[int] = (), key: SecretKey | None = None
) -> None:
    """Put a path as the uploader does: its archive, and then its narinfo."""
    cache.put(archive_name(archive), archive, "")
    cache.put(narinfo_name(number), narinfo(number, archive, references, key), "")


def content_of(cache: ActionsCache, archive: bytes) -> bytes | None:
    """The archive as the cache has it; None if it does not have it."""
    try:
        found = cache.open(archive_name(archive))
        return None if found is None else b"".join(found.pieces)
    except CacheError:
        return None
