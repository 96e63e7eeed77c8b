"""Opens the cache that a store URL names, by its row in `schemes`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ..nix.store_url import CacheUrl
from .protocol import Access, Cache


def open_cache(url: CacheUrl, access: Access) -> Cache:
    """The cache at a store URL. Sends no request yet. Raises InputError or CacheError for bad parameters."""
    cache: Cache = _function(url.row.opener)(url, access)
    return cache


def open_early(url: CacheUrl, environ: Mapping[str, str], count: int) -> Cache | None:
    """The cache, with `count` connections that are opened in the background; None if it needs the job's secrets."""
    if not url.row.early_opener:
        return None
    cache: Cache = _function(url.row.early_opener)(url, environ, count)
    return cache


def _function(dotted_name: str) -> Any:
    module, _, name = dotted_name.rpartition(".")
    return getattr(import_module(module), name)
