"""What a cache must refuse: that its writers delete, and that anybody writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..caches.protocol import Cache, Erasable, ObjectCache, PathCache
from ..errors import CacheBusy, CacheError, CredentialsError, one_line
from ..nix.store import StorePath
from ..system.dataclass import replace
from ..uploader import presence
from .trial_row import Row

if TYPE_CHECKING:
    from ..uploader.spec import UploadSpec

_TEXT: Final = b"Written by nix-autocache check. It may be removed.\n"


def rows(spec: UploadSpec, path: StorePath) -> Iterator[Row]:
    """For a path that is in the cache, and is gone afterwards where that is allowed."""
    row = spec.access.url.row
    cache = spec.access.open(spec.secret_key)
    if isinstance(cache, PathCache):
        return
    if row.address in {"bucket", "host"}:
        yield _anonymous(spec, cache)
    if isinstance(cache, Erasable):
        deleted = _deleted(cache, cache, path)
        if row.address == "bucket":
            yield deleted


def _anonymous(spec: UploadSpec, cache: Cache) -> Row:
    what = "nobody can write without credentials"
    access = spec.access
    login, _, host = access.url.authority.rpartition("@")
    if access.url.row.address == "host" and not login:
        advice = "whoever reaches the server can write to it, or fill it; unless only jobs do, put a login before it"
        return Row(what, False, advice, is_warning=True)
    if access.url.row.address == "host":
        access = replace(access, url=replace(access.url, authority=host))
    name = f"autocache/check/{os.urandom(8).hex()}"
    try:
        opened = replace(access, anonymous=True, role="", identity=None).open()
        assert not isinstance(opened, PathCache), "its scheme has objects"
        opened.put(name, _TEXT, "text/plain")
    except CacheBusy as error:
        return Row(what, None, one_line(error))
    except CacheError:
        return Row(what, True)
    if isinstance(cache, Erasable):
        with suppress(CacheError, CacheBusy):
            cache.remove(name)
    return Row(what, False, "the cache took an object without credentials; allow anybody to read it at most")


def _deleted(cache: ObjectCache, erasable: Erasable, path: StorePath) -> Row:
    what = "jobs cannot delete"
    name = f"{path.hash_part}.narinfo"
    try:
        fields = presence.fields_of(cache.get(name)) or {}
        erasable.remove(name)  # before its archive: the cache stays closed
        for archive in filter(presence.OWN_ARCHIVE.fullmatch, fields.get("URL", [])):  # no object of another kind
            erasable.remove(archive)
    except CredentialsError:
        return Row(what, True)
    except (CacheError, CacheBusy) as error:
        return Row(what, None, one_line(error))
    advice = "whoever has their credentials can empty the cache; allow them only to read, list and put (docs/caches.md)"
    return Row(what, False, advice, is_warning=True)
