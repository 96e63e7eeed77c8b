"""One path into a cache of objects: its archive first, then, when its references are there, its narinfo."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

from ..caches.protocol import Body, Indexed, ObjectCache
from ..errors import CacheError, CredentialsError, Error
from ..nix import realisation
from ..nix.keys import PublicKey, SecretKey, Verifier
from ..nix.narinfo import CONTENT_TYPE, NarFile, Uploaded, render
from ..nix.realisation import Realisation
from ..nix.store import PathInfo, StorePath
from ..system.dataclass import dataclass, field, replace
from . import cache_info
from .compress import Codec
from .doomed import Doomed
from .nix_reading import NixReading
from .pack import STREAMED, Packing, archive_url, verified
from .presence import ABSENT, Found, decoded, judge
from .run_records import RunRecords

_ARCHIVE_TYPE: Final = "application/x-nix-nar"
# More threads that pack at once only wait for each other, and whoever publishes a path waits for all of them.
_PACKING: Final = threading.BoundedSemaphore(2 * (os.cpu_count() or 1))
_REALISED: Final = "!"  # between the derivation and its output, in what stands for the path of a realisation


@dataclass(frozen=True, kw_only=True)
class BinaryCache:
    """Pushes to a binary cache made of objects. Without a key its narinfos carry no signature of ours.

    `trusted` are keys that readers trust beside ours; `cache_info` is the text of a new nix-cache-info, after StoreDir.
    What the cache lacked when Nix asked it, as `reading` says, is not asked for. `index` names the run index that is
    written; empty for none. `doomed` is what the cache's collector has announced; `records` are left for it. `fetched`
    finds what this job fetched, where no read proxy reports that.
    """

    cache: ObjectCache
    key: SecretKey | None
    codec: Codec
    cache_info: str
    trusted: tuple[PublicKey, ...] = ()
    reading: NixReading = field(default_factory=NixReading)
    index: str = ""
    doomed: Doomed = field(default_factory=Doomed)
    records: RunRecords = field(default_factory=RunRecords)
    fetched: Callable[[], Iterable[PathInfo]] = list

    def check(self, store_dir: str) -> bool:
        return cache_info.check(self.cache, store_dir, self.cache_info)

    def confirm(self) -> None:
        cache_info.confirm(self.cache)

    def reach(self) -> None:
        self.cache.get(cache_info.NAME)

    def use(self, infos: Sequence[PathInfo]) -> None:
        self.reading.roots.use(infos)

    def ask(self, infos: Sequence[PathInfo]) -> Mapping[StorePath, Found]:
        self._learn()
        try:
            epoch = self._hold(*infos)
        except Error:  # each is then asked for alone
            return {}
        missed = {info.path: ABSENT for info in infos if self.reading.lacks(_name(info.path))}
        others = [info for info in infos if info.path not in missed]
        contents = self.cache.get_many([_name(info.path) for info in others])
        asked = [(info, contents[_name(info.path)]) for info in others if _name(info.path) in contents]
        found = {info.path: (content, judge(content, info, self._readers)) for info, content in asked}
        # A narinfo must be the path's own: nothing else tells that the answers came in order.
        clear = {path: each for path, each in found.items() if each[0] is None or each[1] != ABSENT}
        self._note(clear, epoch)
        return {**missed, **{path: answer for path, (_, answer) in clear.items()}}

    def find(self, info: PathInfo) -> Found:
        self._learn()
        epoch = self._hold(info)
        try:
            content = self.cache.get(_name(info.path))
        except CredentialsError:
            raise
        except CacheError:  # larger than a narinfo can be, or nothing that could be asked for again: Nix has none, too
            return ABSENT
        found = judge(content, info, self._readers)
        self._note({info.path: (content, found)}, epoch)
        return found

    def _hold(self, *infos: PathInfo) -> int:
        """Claim what the collector has announced of these paths. Returns the epoch of its list."""
        names = [name for info in infos for name in (_name(info.path), self.archive(info))]
        return self.doomed.hold(names)

    def _note(self, answers: Mapping[StorePath, tuple[bytes | None, Found]], epoch: int) -> None:
        there = {_name(path): decoded(content) for path, (content, found) in answers.items() if content and found.there}
        self.reading.note(there)
        for name in there:
            self.doomed.note(name, epoch)

    def archive(self, info: PathInfo) -> str:
        return archive_url(info, self.codec)

    def upload(self, info: PathInfo, found: Found) -> Uploaded:
        if found.archive and (file := self._verified(info, found)):
            signed = replace(info, signatures=(*info.signatures, *found.archive.signatures))
            return replace(self.describe(signed, file), what="signed")
        packing = Packing(info, self.codec)
        epoch = self._hold(info)
        body: Body = packing
        if info.nar_size < STREAMED:
            with _PACKING:
                body = b"".join(packing)
        self.cache.put(packing.url, body, _ARCHIVE_TYPE)
        if not packing.file:  # it was there already, and refused before its end
            deque(packing, maxlen=0)
        assert packing.file, "it was gone through"
        self.doomed.note(packing.url, epoch)
        return replace(self.describe(info, packing.file), size=packing.file.file_size)

    def describe(self, info: PathInfo, file: NarFile) -> Uploaded:
        return Uploaded(info.path, 0, render(info, file, self.key).encode(), file, references=info.references)

    def realise(self, realised: Realisation) -> Uploaded | None:
        path = StorePath(f"{realised.derivation}{_REALISED}{realised.output}")
        text, references = realised.render(self.key), (realised.path,)
        return Uploaded(path, 0, text, what="realised", name=realised.name, references=references)

    def _verified(self, info: PathInfo, found: Found) -> NarFile | None:
        """The archive that an unsigned narinfo names, if it holds what the store registered: who can write the cache
        without the key must not have other content signed."""
        assert found.archive, "there is one"
        epoch = self.doomed.hold([found.archive.url])
        try:
            content = self.cache.open(found.archive.url)
        except CacheError:
            return None
        if content is None:
            return None
        try:
            file = verified(info, found.archive.url, found.archive.compression, content.pieces)
            self.doomed.note(found.archive.url, epoch)
            return file
        except CacheError:
            return None
        finally:
            content.close()

    @cached_property
    def _readers(self) -> tuple[Verifier, ...]:
        return (self.key, *self.trusted) if self.key else ()

    def publish(self, uploaded: Uploaded) -> None:
        if uploaded.name:
            self.doomed.secure(uploaded.name, "", uploaded.references)
            self.cache.put(uploaded.name, uploaded.narinfo, realisation.CONTENT_TYPE)
            return
        name, others = _name(uploaded.path), [each for each in uploaded.references if each != uploaded.path]
        epoch = self.doomed.secure(name, uploaded.file.url if uploaded.file else "", others)
        self.cache.put(name, uploaded.narinfo, CONTENT_TYPE)
        self.doomed.note(name, epoch)
        self.reading.note({name: uploaded.narinfo.decode()})

    @property
    def is_due(self) -> bool:
        return self.doomed.is_due

    def look(self) -> None:
        self.doomed.look()

    def forget(self) -> None:
        self.doomed.forget()

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

    def record(self) -> None:
        self.records.write(self.cache, self.reading.roots)

    def settle(self) -> None:
        if self.index and not self.seals:  # what seals has an index of its own
            self.reading.write_index(self.cache, self.index)
        if self.records.are_left_in(self.cache) and not self.reading.was_heard:
            self.reading.roots.use(self.fetched())
        self.record()


def _name(path: StorePath) -> str:
    return f"{path.hash_part}.narinfo"
