"""Caches in Azure Blob Storage: `az://`."""

from __future__ import annotations

from typing import Any, Final

from obstore.store import AzureStore

from ..nix.store_url import CacheUrl
from .object_store import ObjectStoreCache, open_store
from .obstore_client import open_bucket
from .protocol import Access

_SETTINGS: Final = {
    "AZURE_STORAGE_ACCOUNT_NAME": "account_name",
    "AZURE_STORAGE_ACCOUNT_KEY": "account_key",
    "AZURE_STORAGE_SAS_KEY": "sas_key",
}


def open_azure(url: CacheUrl, access: Access) -> ObjectStoreCache:
    """The cache in the container that a URL names. Raises CacheError if its parameters do not fit together."""
    environ = access.environ
    config: dict[str, Any] = {key: environ[name] for name, key in _SETTINGS.items() if name in environ}
    if access.anonymous:
        config["skip_signature"] = True
    if account := url.params.get("account"):
        config["account_name"] = account
    if endpoint := url.params.get("endpoint"):
        config["endpoint"] = endpoint
    return open_store(url, environ, lambda: open_bucket(AzureStore, url, environ, config))
