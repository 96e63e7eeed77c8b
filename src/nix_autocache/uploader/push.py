"""One path into the cache: its archive first, then, when its references are there, its narinfo.

`Pusher` is what the drain knows of a cache; which of the implementations is chosen is `pusher`'s affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ..caches import ObjectCache, PathCache
from ..errors import CacheError
from ..keys import SecretKey
from ..nix.store import PathInfo, StorePath
from .compress import Codec
from .narinfo import CONTENT_TYPE, Brought, render
from .pack import STREAMED, Packing

_INFO: Final = "nix-cache-info"
_ARCHIVE_TYPE: Final = "application/x-nix-nar"


class Pusher(Protocol):
    """Used from many threads. Every method raises CacheError for good, CacheBusy for now, StoreError for the path."""

    def check(self, store_dir: str) -> None:
        """Whether the cache can be used, before the first path. Makes what a new cache needs."""

    def ask(self, paths: Sequence[StorePath]) -> Mapping[StorePath, bool]:
        """Which of many paths are there, without those that there was no clear answer for. Raises nothing."""

    def present(self, path: StorePath) -> bool: ...

    def upload(self, info: PathInfo) -> Brought:
        """Bring the content there, invisible yet."""

    def publish(self, brought: Brought) -> None:
        """Make it visible. Its references are visible already."""


@dataclass(frozen=True, kw_only=True)
class BinaryCache:
    """Pushes to a binary cache made of objects. Without a key its narinfos carry no signature of ours."""

    cache: ObjectCache
    key: SecretKey | None
    codec: Codec
    cache_info: str

    def check(self, store_dir: str) -> None:
        found = self.cache.get(_INFO)
        if found is None:
            self.cache.put(_INFO, f"StoreDir: {store_dir}\n{self.cache_info}".encode(), "text/x-nix-cache-info")
            return
        for line in found.decode("utf-8", "replace").splitlines():
            name, _, value = line.partition(": ")
            if name == "StoreDir" and value.strip() != store_dir:
                raise CacheError(
                    f"the cache holds paths of {value.strip()}, this Nix has {store_dir}; take another cache"
                )

    def ask(self, paths: Sequence[StorePath]) -> Mapping[StorePath, bool]:
        contents = self.cache.get_many([_name(path) for path in paths])
        found = {path: contents[_name(path)] for path in paths if _name(path) in contents}
        # A narinfo must be the path's own: nothing else tells that the answers came in order.
        return {
            path: content is not None
            for path, content in found.items()
            if content is None or f"StorePath: {path}\n".encode() in content
        }

    def present(self, path: StorePath) -> bool:
        return self.cache.exists(_name(path))

    def upload(self, info: PathInfo) -> Brought:
        packing = Packing(info, self.codec)
        body = b"".join(packing) if info.nar_size < STREAMED else iter(packing)
        self.cache.put(packing.url, body, _ARCHIVE_TYPE)
        assert packing.file, "put() reads its body to the end"
        return Brought(info.path, packing.file.file_size, render(info, packing.file, self.key).encode())

    def publish(self, brought: Brought) -> None:
        self.cache.put(_name(brought.path), brought.narinfo, CONTENT_TYPE)


@dataclass(frozen=True)
class WholePaths:
    """Pushes to a cache that takes whole paths and knows by itself what it has."""

    cache: PathCache

    def check(self, store_dir: str) -> None:
        pass

    def ask(self, paths: Sequence[StorePath]) -> Mapping[StorePath, bool]:
        return dict.fromkeys(paths, False)

    def present(self, path: StorePath) -> bool:
        return False

    def upload(self, info: PathInfo) -> Brought:
        return Brought(info.path, info.nar_size, b"")

    def publish(self, brought: Brought) -> None:
        self.cache.copy(brought.path)


@dataclass(frozen=True)
class DryRun:
    """Asks like the pusher it wraps, and writes nothing."""

    pusher: Pusher

    def check(self, store_dir: str) -> None:
        pass

    def ask(self, paths: Sequence[StorePath]) -> Mapping[StorePath, bool]:
        return self.pusher.ask(paths)

    def present(self, path: StorePath) -> bool:
        return self.pusher.present(path)

    def upload(self, info: PathInfo) -> Brought:
        return Brought(info.path, 0, b"")

    def publish(self, brought: Brought) -> None:
        pass


def _name(path: StorePath) -> str:
    return f"{path.hash_part}.narinfo"
