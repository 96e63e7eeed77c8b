"""obstore's errors as ours. It has the HTTP status in its message only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from obstore import exceptions

from ..errors import CacheError, Error
from ..system.dataclass import dataclass
from . import region
from .http_status import INFO, status_error
from .retry_after import RetryAfter

_STATUS = re.compile(r"status code: (\d{3})")
# S3 answers 400 to a token that expired, and to HEAD it cannot say more.
_EXPIRED = re.compile("ExpiredToken|TokenRefreshRequired|InvalidToken|InvalidAccessKeyId|performing HEAD")
_FULL = re.compile("No space left|Read-only file system|Permission denied|File too large|quota exceeded")
_UNTRUSTED = re.compile(r"InvalidCertificate\(\s*(\w+)|CERTIFICATE_VERIFY_FAILED")
_DENIED: Final = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
_LONGEST: Final = 300  # characters of a message
_CAUSES: Final = {
    "TimedOut": "no answer in time",
    "ConnectionRefused": "connection refused",
    "ConnectionReset": "connection reset",
    "BrokenPipe": "connection closed",
    "dns error": "host name not found",
}


@dataclass(frozen=True)
class Errors:
    """Translates errors of the cache `where`; `sign` gives a URL for a GET of an object's name.

    `bucket_region` is the region that S3 is asked in, empty for other stores.
    """

    where: str
    retry_after: RetryAfter
    environ: Mapping[str, str]
    sign: Callable[[str], str]
    bucket_region: str = ""

    def translate(self, name: str, error: Exception) -> Error:
        """The error for a request for an object's `name`: of obstore, or of the system."""
        found = _STATUS.search(str(error))
        status = int(found[1]) if found else 0
        if (status == 400 and _EXPIRED.search(str(error))) or isinstance(error, _DENIED):
            status = 403
        if not status and (bad := _UNTRUSTED.search(str(error))):
            return CacheError(
                f"{self.where}: its TLS certificate is not trusted ({bad[1] or 'not valid'}); "
                "name the file with its authority's certificate in NIX_SSL_CERT_FILE"
            )
        if self.bucket_region and region.is_wrong(str(error)):
            return self._wrong_region(error)
        if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
            status = 409
        if not status and _FULL.search(str(error)):
            return CacheError(f"{self.where}: {name}: {describe(error)}")
        wait = self.retry_after.seconds(name) if status in {429, 503} else 0.0
        return status_error(self.where, name, status, describe(error), wait)

    def _wrong_region(self, error: Exception) -> CacheError:
        there = region.find(str(error), lambda: self.sign(INFO), self.environ)
        if not there or there == self.bucket_region:
            return CacheError(f"{self.where}: the server sends requests for this bucket elsewhere: {describe(error)}")
        return CacheError(f"{self.where} is in {there}, not {self.bucket_region}; write region={there}")


def describe(error: Exception) -> str:
    """The part of an obstore error that helps people: the server's answer, or why there was none."""
    first, _, debug = str(error).strip().partition("\n")
    text = first.partition(" - ")[2] or first or type(error).__name__
    causes = [cause for sign, cause in _CAUSES.items() if sign in debug]
    return f"{text[:_LONGEST]} ({causes[0]})" if causes else text[:_LONGEST]
