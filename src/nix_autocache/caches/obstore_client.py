"""obstore's stores: how long requests may take, which proxies and certificates they use, how a bucket is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import obstore

from ..nix.store_url import CacheUrl
from ..system import version
from ..system.dataclass import dataclass

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig


@dataclass(frozen=True)
class Limits:
    """How long a request may take, and how often obstore itself makes it again."""

    timeout: timedelta
    retries: int = 0

    @property
    def retry_config(self) -> RetryConfig:
        backoff = {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=5), "base": 2}
        return {"max_retries": self.retries, "retry_timeout": timedelta(minutes=5), "backoff": backoff}  # type: ignore[typeddict-item]


# Our own retries know the deadline and what the cache asked for. obstore's only serve streams, where a part that is
# lost must not cost the whole archive. 50 MB in flight take three minutes at 2 Mbit/s.
QUESTION: Final = Limits(timedelta(seconds=8))
ARCHIVE: Final = Limits(timedelta(minutes=3))
STREAM: Final = Limits(timedelta(minutes=3), retries=4)
READING: Final = Limits(timedelta(hours=1), retries=2)  # until the last byte was taken

Opener: TypeAlias = "Callable[[Limits], ObjectStore]"


def open_bucket(
    store: Callable[..., ObjectStore], url: CacheUrl, environ: Mapping[str, str], config: Mapping[str, Any]
) -> Opener:
    """Opens the bucket that a URL names, with these settings of a class of obstore."""
    return lambda limits: store(
        url.authority,
        prefix=url.path.strip("/") or None,
        client_options=client_options(url, environ, limits),
        retry_config=limits.retry_config,
        **config,
    )


def client_options(url: CacheUrl, environ: Mapping[str, str], limits: Limits) -> ClientConfig:
    """Proxies and private CAs come from the usual variables; plain HTTP is allowed where the URL asks for it."""
    options: ClientConfig = {"timeout": limits.timeout, "connect_timeout": "10s", "pool_idle_timeout": "60s"}
    options["user_agent"] = version.user_agent()
    if "http" in {url.params.get("scheme"), url.params.get("endpoint", "").partition("://")[0]}:
        options["allow_http"] = True
    bundle = environ.get("NIX_SSL_CERT_FILE") or environ.get("SSL_CERT_FILE")
    if bundle and Path(bundle).is_file():
        options["root_certificate"] = Path(bundle).read_bytes()
    return options


def signed_url(store: Any, name: str, method: Literal["GET", "HEAD", "DELETE"]) -> str:
    """A URL for one request, good for a minute. Raises exceptions.BaseError if the credentials cannot sign."""
    return str(obstore.sign(store, method, name, timedelta(minutes=1)))
