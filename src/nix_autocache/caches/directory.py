"""Caches in a directory: `file://`."""

from __future__ import annotations

from obstore.store import LocalStore

from ..nix.store_url import CacheUrl
from .object_store import ObjectStoreCache, open_store
from .protocol import Access


def open_directory(url: CacheUrl, access: Access) -> ObjectStoreCache:
    """The cache in the directory that a URL names, which is made if it is missing. Raises CacheError."""
    return open_store(url, access.environ, lambda: lambda _: LocalStore(url.path, mkdir=True))
