"""Everything an upload needs, in one value: the background uploader and a flush without one make the same drain of it.

It holds secrets: never print or store it. Modules that only an upload needs are imported when one begins, so that
`setup` starts fast.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ci.lane import Lane
from ..nix.key_source import KeySource
from ..nix.keys import PublicKey, SecretKey
from ..nix.store import StorePath
from ..nix.store_client import StoreClient
from ..nix.store_url import CacheUrl
from ..queue.directory import Queue
from ..settings import Compression, Settings, archive_format
from ..system.dataclass import dataclass
from .access import CacheAccess

if TYPE_CHECKING:
    from ..caches.protocol import Cache, ObjectCache
    from .drain import Drain
    from .nix_reading import NixReading
    from .push import BinaryCache
    from .pusher import Pusher


@dataclass(frozen=True, kw_only=True)
class UploadSpec:
    """`roots` is the directory of the garbage collector roots for what is queued; None outside a job. `began` is when
    the job did, in seconds since 1970.

    `key` is the key itself, its name in AWS, or none. Readers of the cache trust it, the keys in `readers`, and
    `upstreams`, whose caches have what they signed. Also the paths in the caches of the directories `elsewhere` are
    not pushed. `trusted` is for `Vouching`. `maintenance_interval` is in seconds, see `Drain`. `index` names the run
    index that is written at the end; empty for none. `lane` is whose run record is left for the collector.
    """

    access: CacheAccess
    queue: Path
    roots: Path | None = None
    key: KeySource
    compression: Compression
    compression_level: int
    upstreams: tuple[PublicKey, ...] = ()
    exclude: re.Pattern[str] | None = None
    dry_run: bool
    began: int
    trusted: tuple[PublicKey, ...] | None = None
    maintenance_interval: float = 0.0
    readers: tuple[PublicKey, ...] = ()
    elsewhere: tuple[Path, ...] = ()
    index: str = ""
    lane: Lane | None = None

    @classmethod
    def of(cls, settings: Settings, **more: Any) -> UploadSpec:
        """The spec with the inputs for archives and for paths that are not pushed; `more` are the other fields."""
        compression, level = archive_format(settings)
        return cls(
            compression=compression,
            compression_level=level,
            upstreams=settings.upstream_keys,
            exclude=settings.exclude,
            **more,
        )

    def open_queue(self) -> Queue:
        return Queue(self.queue, self.roots)

    def pusher(self, opened: Cache | None = None, reading: NixReading | None = None) -> Pusher:
        """A pusher into the cache, which may be `opened` already. Raises as `CacheAccess.open`.

        `reading` is what Nix reads meanwhile through our proxy.
        """
        if not self.dry_run:
            return self._pusher(opened, reading)
        from .dry_run import DryRun

        return DryRun(lambda: self._pusher(opened, reading))

    def _pusher(self, opened: Cache | None, reading: NixReading | None) -> Pusher:
        from ..caches.protocol import PathCache

        cache = opened or self.access.open(self.secret_key)
        if not isinstance(cache, PathCache):
            return self._binary_cache(cache, reading)
        from .whole_paths import WholePaths

        return WholePaths(cache)

    def drain(self, pusher: Pusher, store: StoreClient | None = None, reading: NixReading | None = None) -> Drain:
        """A drain of the queue; `store` is a connection to its Nix that is open already, `reading` as for `pusher`."""
        from .drain import Drain
        from .ledger import Ledger
        from .nix_reading import NixReading
        from .plan import Policy
        from .tasks import Tasks
        from .vouching import Vouching

        nix = self.access.nix
        policy = Policy(
            upstreams=self.upstreams,
            exclude=self.exclude,
            elsewhere=self._elsewhere,
            vouching=Vouching(began=self.began, trusted=self.trusted),
        )
        ledger = Ledger(pusher.sealed if pusher.seals else None)
        tasks = Tasks(pusher, ledger, nix.store_dir)
        return Drain(
            self.open_queue(),
            store or StoreClient(nix),
            policy,
            tasks,
            ledger,
            reading=reading or NixReading(),
            maintenance_interval=self.maintenance_interval,
        )

    @property
    def _elsewhere(self) -> Mapping[StorePath, bytes]:
        if not self.elsewhere:
            return {}
        from .embedded_cache import fingerprints

        return fingerprints(self.elsewhere, self.access.nix.store_dir)

    @cached_property
    def secret_key(self) -> SecretKey | None:
        """The key, fetched from AWS if it is there. Raises InputError, or what `aws_keys.secret_key` raises."""
        if not self.key.is_in_aws:
            return self.key.read({}) if self.key else None
        if self.dry_run:
            return None  # nothing is signed
        from ..caches import aws_credentials, aws_keys

        credentials = self.access.credentials_of_role or aws_credentials.from_environment()
        return aws_keys.secret_key(self.key, credentials, self.access.region)

    def _binary_cache(self, cache: ObjectCache, reading: NixReading | None) -> BinaryCache:
        from .compress import Codec
        from .doomed import Doomed
        from .nix_reading import NixReading
        from .push import BinaryCache
        from .run_records import Fetched, RunRecords

        key = self.secret_key
        return BinaryCache(
            cache=cache,
            key=key,
            codec=Codec(name=self.compression, level=self.compression_level),
            cache_info=_cache_info(self.access.url),
            trusted=(*self.readers, *self.upstreams),
            reading=reading or NixReading(),
            index=self.index,
            doomed=Doomed(None if self.dry_run else cache),
            records=RunRecords(self.lane),
            fetched=Fetched(self.access.nix, self.began, key.public if key else None) if self.roots else list,
        )


def _cache_info(url: CacheUrl) -> str:
    """The lines of a new nix-cache-info after StoreDir. By default it comes after cache.nixos.org, which has 40."""
    mass_query = int(url.boolean("want-mass-query", default=True))
    return f"WantMassQuery: {mass_query}\nPriority: {url.integer('priority', 41)}\n"
