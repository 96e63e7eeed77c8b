"""Downloads from a publisher: streamed to disk, hashed on the way, retried with backoff.

Standard library only. urllib reads the usual variables for proxies; `_trust` those for private certificate authorities.
"""

from __future__ import annotations

import hashlib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Final, TypeVar

from ...errors import RunnerError
from ...system import version
from ...system.files import open_to_write

_TIMEOUT: Final = 30.0  # seconds without a byte
_PIECE: Final = 1 << 20
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0)  # seconds before each retry
_FOREVER: Final = frozenset({400, 401, 403, 404, 405, 407, 410})  # statuses that a retry does not change
_AUTHORITIES: Final = ("NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")

_T = TypeVar("_T")


def to_file(url: str, target: Path, environ: Mapping[str, str]) -> str:
    """Download to `target`, and return the sha256 in hexadecimal. Raises RunnerError."""

    def attempt() -> str:
        digest = hashlib.sha256()
        with _open(url, environ) as answer, open_to_write(target, 0o600) as file:
            while piece := answer.read(_PIECE):
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()

    return _retrying(url, attempt)


def text(url: str, environ: Mapping[str, str]) -> str:
    """Download a small file. Raises RunnerError."""

    def attempt() -> str:
        with _open(url, environ) as answer:
            return str(answer.read(_PIECE).decode("utf-8", "replace"))

    return _retrying(url, attempt)


def _retrying(url: str, attempt: Callable[[], _T]) -> _T:
    for pause in (*_PAUSES, None):
        try:
            return attempt()
        except (OSError, HTTPException, ValueError) as error:
            if pause is None or not _may_pass(error):
                advice = "`nix-url` and `nix-sha256` can name another source"
                raise RunnerError(f"cannot download {url}: {_reason(error)}; {advice}") from None
        time.sleep(pause)
    raise AssertionError("the last pause is None")


def _reason(error: Exception) -> object:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    return getattr(error, "reason", error)


def _may_pass(error: Exception) -> bool:
    """True if a retry may succeed."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code not in _FOREVER
    reason = getattr(error, "reason", error)
    return not isinstance(reason, FileNotFoundError | PermissionError | ssl.SSLCertVerificationError | ValueError)


def _open(url: str, environ: Mapping[str, str]) -> urllib.request._UrlopenRet:
    context = _trust(environ) if url.startswith("https:") else None  # it takes long to make
    # Any scheme is fine, file: too, since the hash decides.
    request = urllib.request.Request(url, headers={"User-Agent": version.user_agent()})  # noqa: S310
    return urllib.request.urlopen(request, timeout=_TIMEOUT, context=context)  # noqa: S310


def _trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """The machine's certificate authorities, and those of the usual variables.

    Less strict than Python 3.13: private authorities often lack the extensions that it wants, and Nix and curl accept
    them.
    """
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    for name in _AUTHORITIES:
        if (file := environ.get(name)) and Path(file).is_file():
            context.load_verify_locations(file)
    return context
