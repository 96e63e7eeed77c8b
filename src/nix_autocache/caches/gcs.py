"""Caches in Google Cloud Storage: `gs://`."""

from __future__ import annotations

from typing import Any, Final

from obstore.store import GCSStore

from ..nix.store_url import CacheUrl
from .object_store import ObjectStoreCache, open_store
from .obstore_client import open_bucket
from .protocol import Access

_SETTINGS: Final = {
    "GOOGLE_APPLICATION_CREDENTIALS": "application_credentials",
    "GOOGLE_SERVICE_ACCOUNT_KEY": "service_account_key",
}


def open_gcs(url: CacheUrl, access: Access) -> ObjectStoreCache:
    """The cache in the bucket that a URL names. Raises CacheError if its parameters do not fit together."""
    environ = access.environ
    config: dict[str, Any] = {key: environ[name] for name, key in _SETTINGS.items() if name in environ}
    if access.anonymous:
        config["skip_signature"] = True
    return open_store(url, environ, lambda: open_bucket(GCSStore, url, environ, config))
