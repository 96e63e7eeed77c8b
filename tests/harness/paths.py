"""Store paths, and a store that knows some of them, for tests without Nix."""

import hashlib
from pathlib import Path

from nix_autocache.errors import StoreError
from nix_autocache.nix import base32
from nix_autocache.nix.store import Nix, PathInfo, StorePath
from nix_autocache.nix.store_client import StoreClient


def path(name: str, store_dir: str = "/nix/store") -> StorePath:
    """A store path with this name, the same each time."""
    return StorePath(f"{store_dir}/{base32.encode(hashlib.sha256(name.encode()).digest()[:20])}-{name}")


def info(
    name: str,
    *references: StorePath,
    signatures: tuple[str, ...] = (),
    ca: str = "",
    registered: int = 0,
    ultimate: bool = False,
    store_dir: str = "/nix/store",
) -> PathInfo:
    return PathInfo(
        path(name, store_dir),
        "",
        references,
        f"sha256:{'0' * 52}",
        120,
        ca,
        signatures,
        registered=registered,
        ultimate=ultimate,
    )


class Known(StoreClient):
    """A store that knows some paths, and has odd answers for others."""

    def __init__(
        self, *infos: PathInfo, odd: dict[StorePath, StoreError] | None = None, store_dir: str = "/nix/store"
    ) -> None:
        super().__init__(Nix(Path("/nonexistent"), store_dir))
        self._answers: dict[StorePath, PathInfo | StoreError] = {**{each.path: each for each in infos}, **(odd or {})}

    def answers(self, paths):  # type: ignore[no-untyped-def]
        return {path: self._answers[path] for path in paths if path in self._answers}
