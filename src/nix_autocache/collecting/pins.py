"""Pins: store paths that the collector keeps under a name, until they are unpinned or their time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ..caches.doomed_list import DoomedList, read_begun
from ..caches.protocol import Collectable
from ..caches.run_codec import CONTENT_TYPE
from ..caches.run_record import PINS, DamagedPinError, Pin, pin_name, pin_object
from ..errors import CacheError, Error, InputError
from ..nix.store import HASH_PART

_ATTEMPTS: Final = 10  # while others pin under the same name
_NEW: Final = Pin(())


def pin(
    cache: Collectable, name: str, bases: Sequence[str], *, keep_revisions: int = 1, keep_days: int | None = None
) -> Pin:
    """Add a revision: base names of store paths, which must be in the cache.

    Raises InputError for a bad name and for a path that is not there, Error if the collector deletes it now, CacheError
    and CacheBusy.
    """
    _require(cache, bases)
    made = _change(cache, name, lambda old: old.added(bases, time.time(), keep_revisions, keep_days))
    # A collector that begins from here on sees the pin. One that had begun may have read the pins before that.
    if read_begun(cache) is not None:
        listed = DoomedList.read(cache)
        doomed = [base for base in bases if listed and base[:HASH_PART] in listed.keys]
        if doomed:
            raise Error(f"pin: {doomed[0]} is being collected; when gc is over, push it, then pin again")
    _require(cache, bases)
    return made


def unpin(cache: Collectable, name: str) -> str:
    """Remove a pin, so that it keeps nothing. Returns why its object is still there, if these credentials may not
    delete. Raises InputError if there is none, CacheError and CacheBusy."""
    if not _keeps_something(cache, name):
        raise InputError(f"unpin: there is no pin {name}; `nix-autocache pins` lists them")
    cache.put(pin_object(name), _NEW.encode(), CONTENT_TYPE)
    return cache.delete([pin_object(name)]).get(pin_object(name), "")


def pins(cache: Collectable) -> Mapping[str, Pin]:
    """The pins by their names, without those that keep nothing. Raises DamagedPinError, CacheError and CacheBusy."""
    names = sorted(name for each in cache.objects(PINS.rstrip("/")) if (name := pin_name(each.name)))
    found = {name: Pin.read(cache, pin_object(name)) for name in names}
    return {name: each for name, each in found.items() if each and each.kept(time.time())}


def _keeps_something(cache: Collectable, name: str) -> bool:
    """True also for a damaged pin, which keeps everything."""
    try:
        found = Pin.read(cache, pin_object(name))
    except DamagedPinError:
        return True
    return found is not None and bool(found.kept(time.time()))


def _require(cache: Collectable, bases: Sequence[str]) -> None:
    for base in bases:
        if not cache.exists(f"{base[:HASH_PART]}.narinfo"):
            raise InputError(f"pin: {base} is not in the cache; push it first: nix-autocache push PATH")


def _change(cache: Collectable, name: str, changed: Callable[[Pin], Pin]) -> Pin:
    """Replace a pin, which others may do at the same time."""
    object_name = pin_object(name)
    for _ in range(_ATTEMPTS):
        etags = {each.name: each.etag for each in cache.objects(PINS.rstrip("/"))}
        try:
            old = Pin.read(cache, object_name) if object_name in etags else None
        except DamagedPinError:
            old = None
        made = changed(old or _NEW)
        if cache.put_if(object_name, made.encode(), etags.get(object_name)):
            return made
    raise CacheError(f"pin: {name} is changed by others all the time; try again")
