"""All that an upload needs, in one value: it goes to the background uploader on its standard input, as JSON,
and a flush without an uploader makes the same drain from it. It holds secrets: never print or store it.
What an upload imports is imported only when one begins, so that `setup` starts fast.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..ci.id_token import IdTokenSource
from ..nix.key_source import KeyKind, KeySource
from ..nix.keys import SecretKey, parse_public
from ..nix.secret_lines import holds_secret
from ..nix.store import Nix, Store
from ..nix.store_url import CacheUrl, parse_cache_url
from ..queue.directory import Queue
from ..schemes import CREDENTIALS
from ..settings import Compression, Settings, archive_format

if TYPE_CHECKING:
    from ..caches.aws import AwsCredentials
    from ..caches.protocol import Cache, ObjectCache
    from .drain import Drain
    from .push import BinaryCache, Pusher

_SECRET: Final = re.compile("SECRET|TOKEN$|PASSWORD|_KEY$|SAS")
_ADDRESS: Final = re.compile("_ENDPOINT(_URL)?(_|$)")  # whatever else its name says: AWS_ENDPOINT_URL_SECRETS_MANAGER
_NETWORK: Final = frozenset(
    {"SSL_CERT_FILE", "NIX_SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HOME"}
)


@dataclass(frozen=True, kw_only=True)
class UploadSpec:
    """Paths, URLs and keys as text. `upstreams` are whole public keys; `key` is the key, its name
    in AWS, or none; `readers` are keys that readers trust beside its own. `elsewhere` are directories: a path in
    their caches is not pushed. `began` and `trusted` are for `vouching`; `maintenance_interval`, in seconds, for
    `Drain`. With a `role`, an ARN, it is assumed with `identity`, whose tokens are for `audience`. At `reader_port`
    Nix reads the cache, 0 if it reads it by itself."""

    queue: str
    roots: str
    nix_bin: str
    cache: str
    key: KeySource
    compression: Compression
    compression_level: int
    upstreams: tuple[str, ...]
    exclude: str
    dry_run: bool
    environ: Mapping[str, str] = field(repr=False)
    began: int
    trusted: tuple[str, ...] | None = None
    role: str = ""
    audience: str = ""
    identity: IdTokenSource | None = None
    maintenance_interval: float = 0.0
    readers: tuple[str, ...] = ()
    reader_port: int = 0
    elsewhere: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> UploadSpec:
        values = json.loads(text)
        identity = values["identity"] and IdTokenSource(**values["identity"])
        trusted = None if values["trusted"] is None else tuple(values["trusted"])
        lists = {name: tuple(values[name]) for name in ("upstreams", "readers", "elsewhere")}
        key = KeySource(KeyKind(values["key"]["kind"]), values["key"]["name"])
        return cls(**{**values, **lists, "trusted": trusted, "identity": identity, "key": key})

    @classmethod
    def of(cls, settings: Settings, **more: Any) -> UploadSpec:
        """A job with what these inputs say of its paths, and all that they do not say."""
        compression, level = archive_format(settings)
        return cls(
            compression=compression,
            compression_level=level,
            upstreams=tuple(map(str, settings.upstream_keys)),
            exclude=settings.exclude.pattern if settings.exclude else "",
            **more,
        )

    @property
    def public_environment(self) -> dict[str, str]:
        """What of `environ` may stand in a process's environment, where others can read it."""
        return {name: value for name, value in self.environ.items() if name.upper() in _NETWORK}

    @property
    def nix(self) -> Nix:
        return Nix(Path(self.nix_bin))

    def open_queue(self) -> Queue:
        return Queue(Path(self.queue), Path(self.roots) if self.roots else None)

    def pusher(self, begun: Cache | None = None) -> Pusher:
        """The way into the cache, which may be `begun` already.

        Raises InputError or CacheError for a URL that cannot be opened.
        """
        if not self.dry_run:
            return self._pusher(begun)
        from .dry_run import DryRun

        return DryRun(lambda: self._pusher(begun))

    def _pusher(self, begun: Cache | None) -> Pusher:
        from ..caches.protocol import PathCache
        from .push import WholePaths

        cache = begun or self.open_cache()
        return WholePaths(cache) if isinstance(cache, PathCache) else self._binary_cache(cache)

    def open_cache(self) -> Cache:
        """The cache itself. Raises as `pusher`."""
        from ..caches.opening import open_cache
        from ..caches.protocol import Access

        return open_cache(parse_cache_url(self.cache), Access(self.environ, self.nix, self.secret_key, self._role))

    def drain(self, pusher: Pusher, store: Store | None = None) -> Drain:
        """The drain of this job; `store` is a conversation with its Nix that was begun already."""
        from .drain import Drain
        from .kept import fingerprints
        from .ledger import Ledger
        from .plan import Policy
        from .tasks import Tasks
        from .vouching import Vouching

        policy = Policy(
            upstreams=tuple(map(parse_public, self.upstreams)),
            exclude=re.compile(self.exclude) if self.exclude else None,
            elsewhere=fingerprints(map(Path, self.elsewhere), self.nix.store_dir),
            vouching=Vouching(
                began=self.began,
                trusted=tuple(map(parse_public, self.trusted)) if self.trusted is not None else None,
            ),
        )
        ledger = Ledger()
        tasks = Tasks(pusher, ledger, self.nix.store_dir)
        interval = self.maintenance_interval
        return Drain(self.open_queue(), store or Store(self.nix), policy, tasks, ledger, maintenance_interval=interval)

    @cached_property
    def secret_key(self) -> SecretKey | None:
        """The key itself, asked of AWS where it is there; `aws.secret_key` says what is raised."""
        if not self.key.is_in_aws:
            return self.key.read({}) if self.key else None
        if self.dry_run:
            return None  # nothing is signed
        from ..caches import aws

        return aws.secret_key(self.key, self._role or aws.found(), self._region)

    @cached_property
    def _role(self) -> AwsCredentials | None:
        if not (self.role and self.identity):
            return None
        from ..caches import aws

        role = aws.Role(arn=self.role, audience=self.audience, identity=self.identity)
        return aws.assuming(role, self._region, self.environ)

    @property
    def _region(self) -> str:
        """Where AWS is asked: the environment's region, the cache's own, or the one that S3 takes for the default."""
        named = self.environ.get("AWS_REGION") or self.environ.get("AWS_DEFAULT_REGION")
        return named or parse_cache_url(self.cache).params.get("region") or "us-east-1"

    def _binary_cache(self, cache: ObjectCache) -> BinaryCache:
        from .compress import Codec
        from .push import BinaryCache

        return BinaryCache(
            cache=cache,
            key=self.secret_key,
            codec=Codec(name=self.compression, level=self.compression_level),
            cache_info=_cache_info(parse_cache_url(self.cache)),
            trusted=tuple(map(parse_public, (*self.readers, *self.upstreams))),
        )


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret: by its name, or by a password in its value, as a proxy's."""
    named = _SECRET.search(name) and not _ADDRESS.search(name)
    return bool(value) and bool(named or holds_secret(value))


def relevant_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the environment a cache backend may need: cloud credentials, certificates, proxies. What is empty, as a
    secret that is not there, is not given."""
    named = {name: value for name, value in environ.items() if name.startswith(CREDENTIALS) or name.upper() in _NETWORK}
    return {name: value for name, value in named.items() if value}


def _cache_info(url: CacheUrl) -> str:
    """The lines of a new nix-cache-info after StoreDir. Priority: behind cache.nixos.org, which has 40."""
    mass_query = int(url.boolean("want-mass-query", default=True))
    return f"WantMassQuery: {mass_query}\nPriority: {url.integer('priority', 41)}\n"
