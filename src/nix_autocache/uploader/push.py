"""One path into the cache: its archive first, then, when its references are there, its narinfo.

`Pusher` is what the uploader knows of a cache: a `BinaryCache` of objects, `WholePaths`, or a dry run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Protocol

from ..caches.protocol import Indexed, ObjectCache
from ..errors import CacheError, CredentialsError
from ..nix import realisation
from ..nix.keys import PublicKey, SecretKey
from ..nix.narinfo import CONTENT_TYPE, NarFile, Uploaded, render
from ..nix.realisation import Realisation
from ..nix.store import PathInfo, StorePath
from . import cache_info
from .compress import Codec
from .nix_reading import NixReading
from .pack import STREAMED, Packing, archive_url, verified
from .presence import ABSENT, Found, decoded, judge

_ARCHIVE_TYPE: Final = "application/x-nix-nar"
_REALISED: Final = "!"  # between the derivation and its output, in what stands for the path of a realisation


class Pusher(Protocol):
    """Used from many threads. Every method raises CacheError for good, CacheBusy for now, StoreError for the path."""

    def check(self, store_dir: str) -> None:
        """Check that the cache can be used, before the first path. Creates what a new cache needs."""

    def reach(self) -> None:
        """Ask the cache anything, to see that it is there."""

    def ask(self, infos: Sequence[PathInfo]) -> Mapping[StorePath, Found]:
        """Look for many paths at once. Leaves out those without a clear answer. Raises nothing."""

    def find(self, info: PathInfo) -> Found:
        """Look for one path."""

    def archive(self, info: PathInfo) -> str:
        """The name of the archive that `upload` makes, which paths of equal content share; empty if it makes none."""

    def upload(self, info: PathInfo, found: Found) -> Uploaded:
        """Upload the content of a path, which stays invisible; `found` is what the cache has of it."""

    def describe(self, info: PathInfo, file: NarFile) -> Uploaded:
        """The same for a path whose content was uploaded with another path."""

    def realise(self, realised: Realisation) -> Uploaded | None:
        """What makes a realisation visible; None if this cache holds none."""

    def publish(self, uploaded: Uploaded) -> None:
        """Make a path visible. Its references must be visible already."""

    @property
    def seals(self) -> bool:
        """True if others see a published path only when it is sealed, see `ObjectCache.seals`."""

    def seal(self) -> None:
        """Make all that was published visible to others. After CacheError what was not sealed is to be pushed again."""

    def sealed(self, path: StorePath) -> bool:
        """True if others see this path. Sends no request."""

    @property
    def is_stale(self) -> bool:
        """True if the next run gains from a seal, even if nothing was published. Sends no request."""

    def settle(self) -> None:
        """Leave what the next run can use. Call it when nothing more is to be pushed for now."""


@dataclass(frozen=True, kw_only=True)
class BinaryCache:
    """Pushes to a binary cache made of objects. Without a key its narinfos carry no signature of ours.

    `trusted` are keys that readers trust beside ours; `cache_info` is the text of a new nix-cache-info, after StoreDir.
    What the cache lacked when Nix asked it, as `reading` says, is not asked for. `index` names the run index that is
    written; empty for none.
    """

    cache: ObjectCache
    key: SecretKey | None
    codec: Codec
    cache_info: str
    trusted: tuple[PublicKey, ...] = ()
    reading: NixReading = field(default_factory=NixReading)
    index: str = ""

    def check(self, store_dir: str) -> None:
        cache_info.check(self.cache, store_dir, self.cache_info)

    def reach(self) -> None:
        self.cache.get(cache_info.NAME)

    def ask(self, infos: Sequence[PathInfo]) -> Mapping[StorePath, Found]:
        self._learn()
        missed = {info.path: ABSENT for info in infos if self.reading.lacks(_name(info.path))}
        others = [info for info in infos if info.path not in missed]
        contents = self.cache.get_many([_name(info.path) for info in others])
        asked = [(info, contents[_name(info.path)]) for info in others if _name(info.path) in contents]
        found = {info.path: (content, self._judged(content, info)) for info, content in asked}
        # A narinfo must be the path's own: nothing else tells that the answers came in order.
        clear = {path: answer for path, (content, answer) in found.items() if content is None or answer != ABSENT}
        return {**missed, **clear}

    def find(self, info: PathInfo) -> Found:
        self._learn()
        try:
            content = self.cache.get(_name(info.path))
        except CredentialsError:
            raise
        except CacheError:  # larger than a narinfo can be, or nothing that could be asked for again: Nix has none, too
            return ABSENT
        return self._judged(content, info)

    def _judged(self, content: bytes | None, info: PathInfo) -> Found:
        found = judge(content, info, self._readers)
        if content and found.there:
            self.reading.note(_name(info.path), decoded(content))
        return found

    def archive(self, info: PathInfo) -> str:
        return archive_url(info, self.codec)

    def upload(self, info: PathInfo, found: Found) -> Uploaded:
        if found.archive and (file := self._verified(info, found)):
            signed = replace(info, signatures=(*info.signatures, *found.archive.signatures))
            return replace(self.describe(signed, file), what="signed")
        packing = Packing(info, self.codec)
        body = b"".join(packing) if info.nar_size < STREAMED else packing
        self.cache.put(packing.url, body, _ARCHIVE_TYPE)
        if not packing.file:  # it was there already, and refused before its end
            deque(packing, maxlen=0)
        assert packing.file, "it was gone through"
        return replace(self.describe(info, packing.file), size=packing.file.file_size)

    def describe(self, info: PathInfo, file: NarFile) -> Uploaded:
        return Uploaded(info.path, 0, render(info, file, self.key).encode(), file)

    def realise(self, realised: Realisation) -> Uploaded | None:
        path = StorePath(f"{realised.derivation}{_REALISED}{realised.output}")
        return Uploaded(path, 0, realised.render(self.key), what="realised", name=realised.name)

    def _verified(self, info: PathInfo, found: Found) -> NarFile | None:
        """The archive that an unsigned narinfo names, if it holds what the store registered: who can write the cache
        without the key must not have other content signed."""
        assert found.archive, "there is one"
        try:
            content = self.cache.open(found.archive.url)
        except CacheError:
            return None
        if content is None:
            return None
        try:
            return verified(info, found.archive.url, found.archive.compression, content.pieces)
        except CacheError:
            return None
        finally:
            content.close()

    @cached_property
    def _readers(self) -> tuple[PublicKey, ...]:
        return (self.key.public, *self.trusted) if self.key else ()

    def publish(self, uploaded: Uploaded) -> None:
        kind = realisation.CONTENT_TYPE if uploaded.name else CONTENT_TYPE
        self.cache.put(uploaded.name or _name(uploaded.path), uploaded.narinfo, kind)
        if not uploaded.name:
            self.reading.note(_name(uploaded.path), uploaded.narinfo.decode())

    @property
    def seals(self) -> bool:
        return self.cache.seals

    def seal(self) -> None:
        self._note_use()
        self.cache.seal()

    @property
    def is_stale(self) -> bool:
        self._note_use()
        return isinstance(self.cache, Indexed) and self.cache.is_stale

    def _note_use(self) -> None:
        self._learn()
        if isinstance(self.cache, Indexed):
            self.cache.use(self.reading.used)

    def _learn(self) -> None:
        """Take over what the read proxy's cache has looked up, so that this one does not."""
        if isinstance(self.cache, Indexed) and (known := self.reading.take_known()):
            self.cache.learn(known)

    def sealed(self, path: StorePath) -> bool:
        return _REALISED not in path and self.cache.sealed(_name(path))  # of a realisation, `seal` tells it

    def settle(self) -> None:
        if self.index and not self.seals:  # what seals has an index of its own
            self.reading.write_index(self.cache, self.index)


def _name(path: StorePath) -> str:
    return f"{path.hash_part}.narinfo"
