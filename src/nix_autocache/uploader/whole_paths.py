"""A pusher into a cache that takes whole paths, as `nix copy` does, and makes narinfos and archives by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..caches.protocol import PathCache
from ..nix.narinfo import NarFile, Uploaded
from ..nix.realisation import Realisation
from ..nix.store import PathInfo, StorePath
from ..system.dataclass import dataclass
from .presence import ABSENT, Found


@dataclass(frozen=True)
class WholePaths:
    """Pushes to a cache that takes whole paths and finds out by itself which it has."""

    cache: PathCache
    seals = False
    is_stale = False
    is_due = False

    def check(self, store_dir: str) -> bool:
        return False

    def confirm(self) -> None:
        pass

    def reach(self) -> None:
        pass

    def use(self, infos: Sequence[PathInfo]) -> None:
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

    def look(self) -> None:
        pass

    def forget(self) -> None:
        pass

    def seal(self) -> None:
        pass

    def sealed(self, path: StorePath) -> bool:
        return True

    def record(self) -> None:
        pass

    def settle(self) -> None:
        pass
