"""What the uploader knows of a cache: a `BinaryCache` of objects, `WholePaths`, or a dry run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..nix.narinfo import NarFile, Uploaded
from ..nix.realisation import Realisation
from ..nix.store import PathInfo, StorePath
from .presence import Found


class Pusher(Protocol):
    """Used from many threads. Every method raises CacheError for good, CacheBusy for now, StoreError for the path."""

    def check(self, store_dir: str) -> bool:
        """Check that the cache can be used, before the first upload. Creates what a new cache needs.

        Returns True if it did: `confirm` must then be called before the first path is published.
        """

    def confirm(self) -> None:
        """Check that a new cache has what was created."""

    def reach(self) -> None:
        """Ask the cache anything, to see that it is there."""

    def use(self, infos: Sequence[PathInfo]) -> None:
        """Note that these paths are used, for `record`. Sends no request."""

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
        """Make a path visible. Its references must be visible already. Raises Collected if they are not any more."""

    @property
    def is_due(self) -> bool:
        """True if `look` should be called. Sends no request."""

    def look(self) -> None:
        """Read what the collector of this cache has announced, if there may be one."""

    def forget(self) -> None:
        """Forget what was seen in the cache. Only while nothing is in work."""

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

    def record(self) -> None:
        """Leave what was used so far, for the collector."""

    def settle(self) -> None:
        """Leave what the next run can use. Call it when nothing more is to be pushed for now."""
