"""What an HTTP status means for those who asked: never, not with these credentials, or not now."""

from __future__ import annotations

from typing import Final

from ..errors import CacheBusy, CacheError, CredentialsError, Error

_TEMPORARY: Final = frozenset({408, 409, 425, 429})
_NEVER: Final = frozenset({501, 505, 507})


def refusal(where: str, name: str, status: int, said: str, wait: float) -> Error:
    """The error for an object's `name`; a status of 0 stands for no answer at all, `wait` is in seconds."""
    if status in {401, 403}:
        return CredentialsError(f"{where} refused {name}: {said}; are the credentials right?")
    if status == 413:
        return CacheError(f"{where} refused {name}: {said}; it is larger than the server takes")
    if (300 <= status < 500 and status not in _TEMPORARY) or status in _NEVER:
        return CacheError(f"{where} refused {name}: {said}")
    return CacheBusy(f"{where}: {name}: {said}", wait)


def missing(where: str) -> CacheError:
    """For what can only be put where there is something already: a bucket, a folder."""
    return CacheError(f"{where} does not exist; create it, or correct `cache`")
