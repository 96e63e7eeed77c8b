"""The servers of one HTTP cache: its own, and those that it redirects to. Only its own gets the credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from ..system.net import tls_context
from . import redirects
from .origin import Origin
from .pool import Pool
from .proxy import proxy_for, proxy_headers
from .redirects import Target

_MOST: Final = 16  # other servers whose connections are kept


class Servers:
    """The server at `base`, as `scheme://host:port`, and its connections. `credentials` are headers for it alone."""

    def __init__(self, base: str, path: str, credentials: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._path, self._credentials, self._environ = path, credentials, environ
        home = redirects.parse_target(base)
        self._home = home.origin if home else base
        self._pools: dict[str, Pool] = {}
        self.pool(self._home)  # certificates that cannot be read are an error now

    def target(self, name: str) -> Target:
        """Where an object of the cache is."""
        return Target(self._home, f"{self._path}/{name}")

    @property
    def home(self) -> Pool:
        """The connections to the cache's own server."""
        return self.pool(self._home)

    def pool(self, origin: str) -> Pool:
        """The connections to the server `scheme://host:port`. Raises CacheError for a proxy that is not a URL."""
        pool = self._pools.get(origin)  # another thread may clear them at any time
        if pool is None:
            if len(self._pools) > _MOST:  # a cache that redirects each request to another server
                self._pools.clear()
            pool = self._pools[origin] = Pool(self._origin(origin))
        return pool

    def close_connections(self) -> None:
        """Close those that nobody uses."""
        self._pools.clear()

    def _origin(self, base: str) -> Origin:
        url = urlsplit(base)
        proxy = proxy_for(url, self._environ)
        return Origin(
            base=base,
            headers=self._credentials if redirects.may_have_credentials(self._home, base) else {},
            context=tls_context(self._environ) if url.scheme == "https" else None,
            proxy=proxy,
            to_proxy=proxy_headers(proxy),
            untrusted=redirects.is_other_host(self._home, base),
        )
