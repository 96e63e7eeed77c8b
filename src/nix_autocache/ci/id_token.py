"""The id token of a job: its CI host signs it to say which job this is, and a cloud accepts it instead of a password.

Some hosts give a new token on request. Others set one in a variable, which cannot be renewed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from ..errors import CacheBusy, CredentialsError
from ..system.dataclass import dataclass, field

_TIMEOUT: Final = 10.0  # seconds without an answer
_LONGEST: Final = 1 << 16  # bytes of an answer
_TEMPORARY: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, kw_only=True)
class IdTokenSource:
    """`url` gives a new token for `bearer`, as `{"value": token}`. Without it there is only `token`."""

    url: str = ""
    bearer: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @property
    def renewable(self) -> bool:
        return bool(self.url)

    def fetch(self, environ: Mapping[str, str]) -> str:
        """A valid token. Raises CredentialsError (permanent) or CacheBusy (retry)."""
        return self._ask(environ) if self.renewable else self.token

    def _ask(self, environ: Mapping[str, str]) -> str:
        import http.client
        import urllib.error
        import urllib.request

        from ..system.net import seconds_to_wait, tls_context

        request = urllib.request.Request(self.url, headers={"Authorization": f"bearer {self.bearer}"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT, context=tls_context(environ)) as answer:  # noqa: S310
                return _token(answer.read(_LONGEST))
        except urllib.error.HTTPError as error:
            error.close()
            raise _refusal(error.code, str(error.reason), seconds_to_wait(error.headers.get("Retry-After"))) from None
        except (OSError, http.client.HTTPException) as error:
            raise CacheBusy(f"the CI host gives no id token: {getattr(error, 'reason', error)}") from None


def _token(body: bytes) -> str:
    try:
        return str(json.loads(body)["value"])
    except (ValueError, KeyError, TypeError):
        raise CacheBusy("the CI host gives no id token: its answer is not one") from None


def _refusal(status: int, reason: str, wait: float) -> CredentialsError | CacheBusy:
    message = f"the CI host gives no id token: HTTP status {status} {reason}"
    if status >= 500 or status in _TEMPORARY:
        return CacheBusy(message, wait)
    return CredentialsError(f"{message}; the job needs `permissions: id-token: write`")
