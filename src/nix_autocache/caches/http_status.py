"""The error for an HTTP status or a broken connection: permanent, wrong credentials, retry, or absent.

Only a refusal of `nix-cache-info` is taken for one of the credentials. Other names may be refused for other reasons: a
bucket that the user may not list answers 403 for a missing object, and an immutable cache for an existing one.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from ..errors import CacheBusy, CacheError, CredentialsError, Error, one_line
from .http1 import NoCacheError

if TYPE_CHECKING:
    from .protocol import Body, ObjectCache

INFO: Final = "nix-cache-info"
ARCHIVES: Final = "nar/"
_ABSENT: Final = frozenset({404, 410})
DENIED: Final = frozenset({401, 403})
_TEMPORARY: Final = frozenset({408, 409, 423, 425, 429})
_NEVER: Final = frozenset({501, 505, 507})
_CLAIMS: Final = (b"StorePath:", b"NarHash:", b"Sig:")


class Conflict(CacheBusy):
    """409 or 412 to a put: another job stores the same object, or it is there already.

    One that stays has another reason: a WebDAV server answers 409 if the folder is missing (RFC 4918, 9.7.1).
    """

    longest = 20.0
    advice = "; is it a folder that is missing?"


def status_error(where: str, name: str, status: int, reason: str, wait: float) -> Error:
    """The error for an object's `name`. Status 0 means that there was no answer; `wait` is in seconds."""
    if status in DENIED:
        advice = "; are the credentials right?" if name == INFO else ""
        return CredentialsError(f"{where} refused {name}: {reason}{advice}")
    if status == 413:
        return CacheError(f"{where} refused {name}: {reason}; it is larger than the server takes")
    if status in {409, 412}:
        return Conflict(f"{where}: {name}: {reason}", wait)
    if (300 <= status < 500 and status not in _TEMPORARY) or status in _NEVER:
        return CacheError(f"{where} refused {name}: {reason}")
    return CacheBusy(f"{where}: {name}: {reason}", wait)


def is_absent(name: str, status: int) -> bool:
    """True if this status of a GET or HEAD means that there is no such object, as in Nix."""
    return status in _ABSENT or (status in DENIED and name != INFO)


def connection_error(where: str, name: str, error: OSError) -> Error:
    """The error for a request that got no response, or none that is HTTP."""
    import ssl  # it takes 3 ms, and a server without TLS needs none of it

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


def does_not_exist(where: str) -> CacheError:
    """The error for a put into a bucket or a folder that is missing."""
    return CacheError(f"{where} does not exist; create it, or correct `cache`")


def is_stored_anyway(cache: ObjectCache, name: str, body: Body, error: Error) -> bool:
    """True if the object of a refused put is in the cache nevertheless, stored by another job or an earlier one.

    False for an error that a retry may cure.
    """
    if isinstance(error, CacheBusy) and not isinstance(error, Conflict):
        return False
    try:
        if name.startswith(ARCHIVES) or not isinstance(body, bytes):
            return cache.exists(name)  # its name is its hash
        there = cache.get(name)
    except Error:
        return False
    return there is not None and (there == body or _covers(there, body))


def _covers(there: bytes, narinfo: bytes) -> bool:
    """True if the narinfo that is there has the same content and all signatures of the other one."""
    claims = [line for line in narinfo.splitlines() if line.startswith(_CLAIMS)]
    return len(claims) >= 2 and set(claims) <= set(there.splitlines())
