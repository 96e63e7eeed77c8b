"""The region that an S3 bucket is in, as its refusals name it: a request to another region never succeeds.

S3 answers with 301 and no Location, or 400, and names the region in a header or in the XML of the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from ..system.net import tls_context

_SIGNS: Final = re.compile(
    "redirect without LOCATION|PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint|status code: 30"
)
_NAMED: Final = re.compile(r"<Region>([a-z0-9-]+)</Region>|expecting '([a-z0-9-]+)'")
_HEADER: Final = "x-amz-bucket-region"
_TIMEOUT: Final = 8.0  # seconds
_ENOUGH: Final = 64 << 10  # bytes of the answer's content


def is_wrong(message: str) -> bool:
    """True if this error, in the words of obstore, is for a bucket in another region."""
    return bool(_SIGNS.search(message))


def find(message: str, url: Callable[[], str], environ: Mapping[str, str]) -> str:
    """The region that the error names, else the one in the answer to a GET of the signed `url`, else nothing."""
    if found := _NAMED.search(message):
        return found[1] or found[2]
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url(), timeout=_TIMEOUT, context=tls_context(environ)) as answer:  # noqa: S310
            return str(answer.headers.get(_HEADER) or "")
    except urllib.error.HTTPError as error:
        with error:
            found = _NAMED.search(error.read(_ENOUGH).decode("utf-8", "replace"))
            return str(error.headers.get(_HEADER) or "") or ((found[1] or found[2]) if found else "")
    except Exception:
        return ""  # the message is good enough without it
