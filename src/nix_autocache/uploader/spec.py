"""Everything an upload needs, in one value: the background uploader gets it as JSON on standard input.

A flush without an uploader makes the same drain from it. It holds secrets: never print or store it. Modules that only
an upload needs are imported when one begins, so that `setup` starts fast.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..ci.id_token import IdTokenSource
from ..nix.key_source import KeySource
from ..nix.keys import PublicKey, SecretKey, parse_public
from ..nix.store import Nix
from ..nix.store_client import StoreClient
from ..nix.store_url import CacheUrl, parse_cache_url
from ..queue.directory import Queue
from ..settings import Compression, Settings, archive_format
from ..system import record

if TYPE_CHECKING:
    from ..caches.aws_credentials import AwsCredentials
    from ..caches.protocol import Cache, ObjectCache
    from .drain import Drain
    from .push import BinaryCache, Pusher

_TEXTS: Final[record.TextForms] = {
    CacheUrl: (str, parse_cache_url),
    PublicKey: (str, parse_public),
    re.Pattern: (attrgetter("pattern"), re.compile),
}


@dataclass(frozen=True, kw_only=True)
class UploadSpec:
    """`roots` is the directory of the garbage collector roots for what is queued. `began` is when the job did, in
    seconds since 1970.

    `key` is the key itself, its name in AWS, or none. Readers of the cache trust it, the keys in `readers`, and
    `upstreams`, whose caches have what they signed. Also the paths in the caches of the directories `elsewhere` are
    not pushed. `trusted` is for `Vouching`. `role` is an ARN, assumed with tokens of `identity` for `audience`.
    `maintenance_interval` is in seconds, see `Drain`. At `reader_port` Nix reads the cache; 0 if it reads it directly.
    """

    queue: Path
    roots: Path | None = None
    nix_bin: Path
    cache: CacheUrl
    key: KeySource
    compression: Compression
    compression_level: int
    upstreams: tuple[PublicKey, ...] = ()
    exclude: re.Pattern[str] | None = None
    dry_run: bool
    environ: Mapping[str, str] = field(repr=False)
    began: int
    trusted: tuple[PublicKey, ...] | None = None
    role: str = ""
    audience: str = ""
    identity: IdTokenSource | None = None
    maintenance_interval: float = 0.0
    readers: tuple[PublicKey, ...] = ()
    reader_port: int = 0
    elsewhere: tuple[Path, ...] = ()

    def to_json(self) -> str:
        """On one line, with all secrets."""
        return record.dumps(self, _TEXTS)

    @classmethod
    def from_json(cls, text: str) -> UploadSpec:
        return record.loads(cls, text, _TEXTS)

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

    def without_key(self) -> UploadSpec:
        return replace(self, key=KeySource())

    @property
    def nix(self) -> Nix:
        return Nix(self.nix_bin)

    def open_queue(self) -> Queue:
        return Queue(self.queue, self.roots)

    def pusher(self, opened: Cache | None = None) -> Pusher:
        """A pusher into the cache, which may be `opened` already. Raises as `open_cache`."""
        if not self.dry_run:
            return self._pusher(opened)
        from .dry_run import DryRun

        return DryRun(lambda: self._pusher(opened))

    def _pusher(self, opened: Cache | None) -> Pusher:
        from ..caches.protocol import PathCache
        from .push import WholePaths

        cache = opened or self.open_cache()
        return WholePaths(cache) if isinstance(cache, PathCache) else self._binary_cache(cache)

    def open_cache(self) -> Cache:
        """Raises InputError or CacheError for a URL that cannot be opened."""
        from ..caches.opening import open_cache
        from ..caches.protocol import Access

        return open_cache(self.cache, Access(self.environ, self.nix, self.secret_key, self._role))

    def drain(self, pusher: Pusher, store: StoreClient | None = None) -> Drain:
        """A drain of the queue; `store` is a connection to its Nix that is open already."""
        from .drain import Drain
        from .embedded_cache import fingerprints
        from .ledger import Ledger
        from .plan import Policy
        from .tasks import Tasks
        from .vouching import Vouching

        policy = Policy(
            upstreams=self.upstreams,
            exclude=self.exclude,
            elsewhere=fingerprints(self.elsewhere, self.nix.store_dir),
            vouching=Vouching(began=self.began, trusted=self.trusted),
        )
        ledger = Ledger()
        tasks = Tasks(pusher, ledger, self.nix.store_dir)
        interval = self.maintenance_interval
        return Drain(
            self.open_queue(), store or StoreClient(self.nix), policy, tasks, ledger, maintenance_interval=interval
        )

    @cached_property
    def secret_key(self) -> SecretKey | None:
        """The key, fetched from AWS if it is there. Raises InputError, or what `aws_keys.secret_key` raises."""
        if not self.key.is_in_aws:
            return self.key.read({}) if self.key else None
        if self.dry_run:
            return None  # nothing is signed
        from ..caches import aws_credentials, aws_keys

        credentials = self._role or aws_credentials.from_environment()
        return aws_keys.secret_key(self.key, credentials, self._region)

    @cached_property
    def _role(self) -> AwsCredentials | None:
        if not (self.role and self.identity):
            return None
        from ..caches import aws_credentials

        role = aws_credentials.Role(arn=self.role, audience=self.audience, identity=self.identity)
        return aws_credentials.from_role(role, self._region, self.environ)

    @property
    def _region(self) -> str:
        """The AWS region for role and key: the environment's, the cache's, or S3's default."""
        named = self.environ.get("AWS_REGION") or self.environ.get("AWS_DEFAULT_REGION")
        return named or self.cache.params.get("region") or "us-east-1"

    def _binary_cache(self, cache: ObjectCache) -> BinaryCache:
        from .compress import Codec
        from .push import BinaryCache

        return BinaryCache(
            cache=cache,
            key=self.secret_key,
            codec=Codec(name=self.compression, level=self.compression_level),
            cache_info=_cache_info(self.cache),
            trusted=(*self.readers, *self.upstreams),
        )


def _cache_info(url: CacheUrl) -> str:
    """The lines of a new nix-cache-info after StoreDir. By default it comes after cache.nixos.org, which has 40."""
    mass_query = int(url.boolean("want-mass-query", default=True))
    return f"WantMassQuery: {mass_query}\nPriority: {url.integer('priority', 41)}\n"
