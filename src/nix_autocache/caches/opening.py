"""Opening the destination that a store URL names, by its row in `schemes`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from ..nix.store_url import CacheUrl
from .protocol import Access, Cache


def begin(url: CacheUrl, environ: Mapping[str, str], count: int) -> Cache | None:
    """A cache that `count` connections are opened to in the background; None for one that needs to know more first."""
    if url.scheme not in {"http", "https"}:
        return None
    from .http import Http

    cache = Http(url, environ)
    cache.begin(count)
    return cache


def open_cache(url: CacheUrl, access: Access) -> Cache:
    """The backend for a store URL. Asks nothing of the network yet. Raises InputError for bad parameters."""
    module, _, function = url.row.opener.rpartition(".")
    opened: Cache = getattr(import_module(module), function)(url, access)
    return opened
