"""One path into the cache: its archive first, then, when its references are there, its narinfo.

`Pusher` is what the drain knows of a cache; which of the implementations is chosen is `pusher`'s affair.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Protocol

from ..caches.protocol import ObjectCache, PathCache
from ..errors import CacheError, CredentialsError
from ..nix import realisation
from ..nix.keys import PublicKey, SecretKey
from ..nix.narinfo import CONTENT_TYPE, NarFile, Uploaded, render
from ..nix.realisation import Realisation
from ..nix.store import PathInfo, StorePath
from .compress import Codec
from .pack import STREAMED, Packing, archive_url, verified
from .presence import ABSENT, Found, decoded, judge

_INFO: Final = "nix-cache-info"
_INFO_FIELDS: Final = frozenset({"StoreDir", "WantMassQuery", "Priority"})
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,9}(?![0-9])")
_ARCHIVE_TYPE: Final = "application/x-nix-nar"


class Pusher(Protocol):
    """Used from many threads. Every method raises CacheError for good, CacheBusy for now, StoreError for the path."""

    def check(self, store_dir: str) -> None:
        """Whether the cache can be used, before the first path. Makes what a new cache needs."""

    def reach(self) -> None:
        """Ask the cache whether it is there at all."""

    def ask(self, infos: Sequence[PathInfo]) -> Mapping[StorePath, Found]:
        """What is there of many paths, without those that there was no clear answer for. Raises nothing."""

    def find(self, info: PathInfo) -> Found:
        """What is there of one path."""

    def archive(self, info: PathInfo) -> str:
        """The name of what `upload` makes, which paths of equal content share; empty if it makes nothing."""

    def upload(self, info: PathInfo, found: Found) -> Uploaded:
        """Bring the content there, invisible yet; `found` is what is there already."""

    def describe(self, info: PathInfo, file: NarFile) -> Uploaded:
        """The same for a path whose content was uploaded with another one."""

    def realise(self, realised: Realisation) -> Uploaded | None:
        """What makes a realisation visible; None where that cannot be."""

    def publish(self, uploaded: Uploaded) -> None:
        """Make it visible. Its references are visible already."""


@dataclass(frozen=True, kw_only=True)
class BinaryCache:
    """Pushes to a binary cache made of objects. Without a key its narinfos carry no signature of ours.

    `trusted` are keys that readers trust beside ours.
    """

    cache: ObjectCache
    key: SecretKey | None
    codec: Codec
    cache_info: str
    trusted: tuple[PublicKey, ...] = ()

    def check(self, store_dir: str) -> None:
        try:
            found = _fields(self.cache.get(_INFO))
        except CredentialsError:
            # A bucket that may not be listed answers 403 for what is not there: whether it can be put decides.
            found = {}
        if found.get("StoreDir", store_dir) != store_dir:
            raise CacheError(
                f"the cache holds paths of {found['StoreDir']}, this Nix has {store_dir}; take another cache"
            )
        # A priority that is no number ends every Nix that reads it.
        if not found or not _NUMBER.match(found.get("Priority", "0")):
            self.cache.put(_INFO, f"StoreDir: {store_dir}\n{self.cache_info}".encode(), "text/x-nix-cache-info")
            self._check_stored()

    def _check_stored(self) -> None:
        """Raises CacheError for a host that took the file and answers with something else, or with nothing."""
        with suppress(CredentialsError):
            stored = self.cache.get(_INFO)
            if stored is not None and not _fields(stored):
                raise CacheError(f"not a binary cache: it took {_INFO} and answers with nothing; correct `cache`")

    def reach(self) -> None:
        self.cache.get(_INFO)

    def ask(self, infos: Sequence[PathInfo]) -> Mapping[StorePath, Found]:
        contents = self.cache.get_many([_name(info.path) for info in infos])
        asked = [(info, contents[_name(info.path)]) for info in infos if _name(info.path) in contents]
        found = {info.path: (content, judge(content, info, self._readers)) for info, content in asked}
        # A narinfo must be the path's own: nothing else tells that the answers came in order.
        return {path: answer for path, (content, answer) in found.items() if content is None or answer != ABSENT}

    def find(self, info: PathInfo) -> Found:
        try:
            content = self.cache.get(_name(info.path))
        except CredentialsError:
            raise
        except CacheError:  # larger than a narinfo can be, or nothing that could be asked for again: Nix has none, too
            return ABSENT
        return judge(content, info, self._readers)

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
        path = StorePath(f"{realised.derivation}!{realised.output}")
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


@dataclass(frozen=True)
class WholePaths:
    """Pushes to a cache that takes whole paths and knows by itself what it has."""

    cache: PathCache

    def check(self, store_dir: str) -> None:
        pass

    def reach(self) -> None:
        pass

    def ask(self, infos: Sequence[PathInfo]) -> Mapping[StorePath, Found]:
        return {info.path: ABSENT for info in infos}

    def find(self, info: PathInfo) -> Found:
        return ABSENT

    def archive(self, info: PathInfo) -> str:
        return ""

    def upload(self, info: PathInfo, found: Found) -> Uploaded:
        return Uploaded(info.path, info.nar_size, b"")

    def describe(self, info: PathInfo, file: NarFile) -> Uploaded:
        return Uploaded(info.path, 0, b"")

    def realise(self, realised: Realisation) -> Uploaded | None:
        return None

    def publish(self, uploaded: Uploaded) -> None:
        self.cache.copy(uploaded.path)


def _name(path: StorePath) -> str:
    return f"{path.hash_part}.narinfo"


def _fields(content: bytes | None) -> dict[str, str]:
    """The fields of a nix-cache-info; none where there is none yet. Raises CacheError for something else."""
    text = decoded(content or b"")
    if not text.strip():
        return {}
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    if not fields.keys() & _INFO_FIELDS:
        begin = text.strip()[:40]
        raise CacheError(f"not a binary cache: what it answers for {_INFO} begins with {begin!r}; correct `cache`")
    return fields
