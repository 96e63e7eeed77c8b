"""nix-cache-info: what tells Nix that a place is a binary cache, and for which store.

Format: src/libstore/binary-cache-store.cc of Nix. One with a priority that is no number ends every Nix that reads it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

from ..caches.protocol import ObjectCache
from ..errors import CacheError, CredentialsError
from .presence import decoded

NAME: Final = "nix-cache-info"
_FIELDS: Final = frozenset({"StoreDir", "WantMassQuery", "Priority"})
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,9}(?![0-9])")


def check(cache: ObjectCache, store_dir: str, text: str) -> bool:
    """Check that `cache` is one for this store. Writes the file, with `text` after the store's directory, where it is
    missing or would end Nix, and returns whether it did. Raises CacheError for another store's cache, and for what is
    no cache."""
    try:
        found = fields(cache.get(NAME))
    except CredentialsError:
        # A bucket that may not be listed answers 403 for what is not there: whether it can be put decides.
        found = {}
    if found.get("StoreDir", store_dir) != store_dir:
        raise CacheError(f"the cache holds paths of {found['StoreDir']}, this Nix has {store_dir}; take another cache")
    if found and _NUMBER.match(found.get("Priority", "0")):
        return False
    cache.put(NAME, f"StoreDir: {store_dir}\n{text}".encode(), "text/x-nix-cache-info")
    return True


def confirm(cache: ObjectCache) -> None:
    """Raises CacheError for a host that took the file and answers with something else, or with nothing."""
    with suppress(CredentialsError):
        stored = cache.get(NAME)
        if stored is not None and not fields(stored):
            raise CacheError(f"not a binary cache: it took {NAME} and answers with nothing; correct `cache`")


def fields(content: bytes | None) -> dict[str, str]:
    """The fields of a nix-cache-info; none where there is none yet. Raises CacheError for something else."""
    text = decoded(content or b"")
    if not text.strip():
        return {}
    found = {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    if not found.keys() & _FIELDS:
        begin = text.strip()[:40]
        raise CacheError(f"not a binary cache: what it answers for {NAME} begins with {begin!r}; correct `cache`")
    return found
