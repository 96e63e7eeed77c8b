"""What every command gets: the inputs, the CI host, and the environment, which nothing below `cli` reads."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..ci.host import EmbeddedCache, Host
from ..ci.id_token import IdTokenSource
from ..ci.repository_cache import RepositoryCache
from ..machine import paths
from ..machine.paths import JobPaths, Paths
from ..settings import Settings
from ..system.dataclass import dataclass, field, replace
from ..uploader.secrets import SecretSources
from . import hosts_cache
from .destination import Destination, destination, make_key

if TYPE_CHECKING:
    from ..machine.observe import Facts
    from ..nix.store_url import CacheUrl

_CREDENTIAL = re.compile("KEY|TOKEN|CREDENTIALS|PROFILE|SAS|ACCOUNT|CLIENT")


@dataclass(frozen=True)
class Context:
    """One run of one command. `facts` are those of this machine, if it was observed already.

    `now`, in seconds since 1970, says which period of a throwaway cache is meant.
    """

    settings: Settings
    host: Host
    environ: Mapping[str, str] = field(repr=False)
    facts: Facts | None = None
    now: float = field(default_factory=time.time)

    @property
    def paths(self) -> Paths:
        """Where this job's things lie: the machine's paths or the user's, as `setup` chose."""
        return paths.of_job(self.environ, self.job_name)

    @property
    def own_paths(self) -> Paths:
        """Where this user's things lie, whatever the job uses."""
        return paths.users(self.environ)

    @property
    def job_name(self) -> str:
        return paths.job_name(self.host.job_id())

    @property
    def job(self) -> JobPaths:
        return self.paths.job(self.job_name)

    @property
    def embedded_cache(self) -> EmbeddedCache:
        """The embedded cache and its key: where the host keeps them, else with this user."""
        data = paths.data(self.environ)
        return self.host.embedded_cache() or EmbeddedCache(cache=data / "cache", key=data / "signing-key")

    @property
    def cache(self) -> CacheUrl | None:
        """The input, or by default the cache that the host keeps for this repository; None for the embedded one."""
        return self.settings.cache or hosts_cache.default(self.host, self.environ)

    def destination(self) -> Destination:
        """Where the inputs say that paths go. Changes nothing. Raises InputError for a cache that no job of this host,
        or no step of this kind, can reach."""
        if self.settings.cache:
            hosts_cache.check(self.settings.cache, self.host, self.environ)
        cache = self.cache
        found = destination(cache and cache.at(self.now), self.settings, self.embedded_cache)
        return replace(found, previous=cache and cache.before(self.now))

    def at(self, now: float) -> Context:
        """The same in the period of that time."""
        return replace(self, now=now)

    def repository_cache(self, destination: Destination) -> RepositoryCache | None:
        """The cache that the CI host keeps, if it is the destination."""
        return self.host.repository_cache() if destination.url.row.kept_by_host else None

    def made_destination(self) -> Destination:
        """The same, with the key that an embedded cache needs."""
        return make_key(self.destination(), self.settings, self.embedded_cache)

    def secret_sources(self, destination: Destination) -> SecretSources:
        """Where the secrets are that uploads to it need."""
        return SecretSources(destination.url, destination.key_source, self.environ)

    @property
    def identity(self) -> IdTokenSource | None:
        """Where the id token for `aws-role` comes from; None without that input, or where the host gives none."""
        if not self.settings.aws_role:
            return None
        if token := self.settings.id_token:
            return IdTokenSource(token=token)
        return self.host.id_token(self.settings.oidc_audience)

    def lacks(self, destination: Destination) -> str:
        """The credentials that this job lacks, and why; empty if it has all."""
        has_key = bool(destination.key_source) or destination.unsigned  # where it needs none
        if not has_key and destination.url.row.kept_by_host:
            return "public-keys are given and no signing-key, so nothing could verify what this job would write"
        if not has_key:
            return "there is no signing-key (a fork's pull request sees an empty secret)"
        if self.settings.aws_role and not self.identity:
            return (
                "there is no id token for aws-role: the job needs `permissions: id-token: write` "
                "(a fork's pull request cannot have it)"
            )
        return ""

    def is_dry_run(self, destination: Destination) -> bool:
        """Whether nothing may be written: as the input says, or where a workflow is tried out without credentials."""
        if self.settings.dry_run is not None:
            return self.settings.dry_run
        lacking = self.lacks(destination) or not self.has_access(destination.url)
        return self.host.dry_run_by_default() and bool(lacking)

    def has_access(self, url: CacheUrl) -> bool:
        """Whether the cache needs no credentials, or some were given. Ignores a machine's own role: nobody tries a
        workflow out on a machine that has one."""
        needed = url.row.credentials
        if not needed or self.settings.aws_role or "profile" in url.params or needed.are_sufficient(self.environ):
            return True
        home = Path(self.environ.get("HOME") or "/nonexistent")
        named = any(
            value and name.startswith(needed.variables) and _CREDENTIAL.search(name)
            for name, value in self.environ.items()
        )
        return named or any((home / name).exists() for name in needed.home_files)
