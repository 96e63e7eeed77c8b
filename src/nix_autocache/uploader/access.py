"""How a cache is opened by a process of ours: its URL, and the credentials or the way to them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..ci.id_token import IdTokenSource
from ..ci.lane import Lane
from ..nix.keys import SecretKey
from ..nix.store import Nix
from ..nix.store_url import CacheUrl
from ..system.dataclass import dataclass, field

if TYPE_CHECKING:
    from ..caches.aws_credentials import AwsCredentials
    from ..caches.protocol import Cache


@dataclass(frozen=True, kw_only=True)
class CacheAccess:
    """It may hold secrets: never print or store it.

    `environ` are the variables of `relevant_environment`. `role` is an ARN, assumed with tokens of `identity` for
    `audience`. An `anonymous` one signs no request and looks for no credentials. `lanes` and `size_limit` are as in
    `protocol.Access`. `previous` is the cache of the period before, which is only read.
    """

    url: CacheUrl
    nix_bin: Path
    environ: Mapping[str, str] = field(repr=False)
    role: str = ""
    audience: str = ""
    identity: IdTokenSource | None = None
    anonymous: bool = False
    lanes: tuple[Lane, ...] = ()
    size_limit: int = 0
    previous: CacheUrl | None = None

    @property
    def nix(self) -> Nix:
        return Nix(self.nix_bin)

    def open(self, key: SecretKey | None = None, *, reads_in: Path | None = None) -> Cache:
        """Sends no request yet. Raises InputError or CacheError for a URL that cannot be opened.

        The read proxy gives its directory as `reads_in`, and also reads what the period before has.
        """
        from ..caches.opening import open_cache
        from ..caches.protocol import Access, PathCache
        from ..caches.rotated import RotatedCache

        access = Access(
            self.environ,
            self.nix,
            key,
            self.credentials_of_role,
            anonymous=self.anonymous,
            lanes=self.lanes,
            size_limit=self.size_limit,
            only_reads=reads_in is not None,
            directory=reads_in,
        )
        cache = open_cache(self.url, access)
        if self.previous is None or reads_in is None:
            return cache
        before = open_cache(self.previous, access)
        assert not isinstance(cache, PathCache), "it rotates"
        assert not isinstance(before, PathCache), "it rotates"
        return RotatedCache(cache, before)

    @cached_property
    def credentials_of_role(self) -> AwsCredentials | None:
        """None without a role."""
        if not (self.role and self.identity):
            return None
        from ..caches import aws_credentials

        role = aws_credentials.Role(arn=self.role, audience=self.audience, identity=self.identity)
        return aws_credentials.from_role(role, self.region, self.environ)

    @property
    def region(self) -> str:
        """The AWS region for role and key: the environment's, the cache's, or S3's default."""
        named = self.environ.get("AWS_REGION") or self.environ.get("AWS_DEFAULT_REGION")
        return named or self.url.params.get("region") or "us-east-1"
