"""What an HTTP status, or no answer, means for those who asked: never, not with these credentials, not now, not there.

Only `nix-cache-info` says anything of the credentials. Any other name may be refused for its own sake: a bucket whose
user may not list it answers 403 for what is not there, and an immutable cache answers so for what is.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

from ..errors import CacheBusy, CacheError, CredentialsError, Error, one_line
from .http1 import NoCacheError

if TYPE_CHECKING:
    from .protocol import Body, ObjectCache

INFO: Final = "nix-cache-info"
ARCHIVES: Final = "nar/"
_ABSENT: Final = frozenset({404, 410})
_DENIED: Final = frozenset({401, 403})
_TEMPORARY: Final = frozenset({408, 409, 423, 425, 429})
_NEVER: Final = frozenset({501, 505, 507})
_SAID: Final = (b"StorePath:", b"NarHash:", b"Sig:")


class Conflict(CacheBusy):
    """409 or 412 to a put: somebody else stores the same, or it is there already. One that stays has another reason: a
    WebDAV server says 409 where the folder is missing (RFC 4918, 9.7.1)."""

    longest = 20.0


def refusal(where: str, name: str, status: int, said: str, wait: float) -> Error:
    """The error for an object's `name`; a status of 0 stands for no answer at all, `wait` is in seconds."""
    if status in _DENIED:
        advice = "; are the credentials right?" if name == INFO else ""
        return CredentialsError(f"{where} refused {name}: {said}{advice}")
    if status == 413:
        return CacheError(f"{where} refused {name}: {said}; it is larger than the server takes")
    if status in {409, 412}:
        return Conflict(f"{where}: {name}: {said}", wait)
    if (300 <= status < 500 and status not in _TEMPORARY) or status in _NEVER:
        return CacheError(f"{where} refused {name}: {said}")
    return CacheBusy(f"{where}: {name}: {said}", wait)


def is_absent(name: str, status: int) -> bool:
    """Whether this answer to GET or HEAD says that there is no such object. Nix reads it the same way."""
    return status in _ABSENT or (status in _DENIED and name != INFO)


def unanswered(where: str, name: str, error: OSError) -> Error:
    """The error for a request that got no answer, or none that is HTTP."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return CacheError(
            f"{where}: its TLS certificate is not trusted ({error.verify_message}); "
            "name the file with its authority's certificate in NIX_SSL_CERT_FILE"
        )
    if isinstance(error, NoCacheError):
        return CacheError(f"{where} is no binary cache: {name}: {error}")
    reasons: dict[type[OSError], str] = {
        TimeoutError: "no answer in time",
        ConnectionRefusedError: "connection refused",
        ConnectionResetError: "the connection was closed",
        BrokenPipeError: "the connection was closed",
        socket.gaierror: "host name not found",
    }
    found = [reason for kind, reason in reasons.items() if isinstance(error, kind)]
    return CacheBusy(f"{where}: {name}: {found[0] if found else error.strerror or one_line(error)}")


def missing(where: str) -> CacheError:
    """For what can only be put where there is something already: a bucket, a folder."""
    return CacheError(f"{where} does not exist; create it, or correct `cache`")


def stored_anyway(cache: ObjectCache, name: str, body: Body, error: Error) -> bool:
    """Whether the object of a refused put is in the cache all the same, by another job or an earlier one.

    Asked where a retry would not help, or would only meet the same conflict.
    """
    if isinstance(error, CacheBusy) and not isinstance(error, Conflict):
        return False
    try:
        if name.startswith(ARCHIVES) or not isinstance(body, bytes):
            return cache.exists(name)  # it is named by its content
        there = cache.get(name)
    except Error:
        return False
    return there is not None and (there == body or _says_as_much(there, body))


def _says_as_much(there: bytes, narinfo: bytes) -> bool:
    """Whether the narinfo that is there is one of the same content, with all signatures that the other has."""
    said = [line for line in narinfo.splitlines() if line.startswith(_SAID)]
    return len(said) >= 2 and set(said) <= set(there.splitlines())
