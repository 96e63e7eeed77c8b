"""The text of a store URL: percent-encoding as every version of Nix reads it, and parts of a URL for error messages."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from ..schemes.table import SCHEMES

PLAIN: Final = "/+=,;@&!'()*:$~"  # beside letters, digits and -._: characters of a path that no version of Nix changes
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def encoded(path: str) -> str:
    return quote(path, safe=PLAIN)


def decoded(text: str) -> str:
    """Raises ValueError if it is not percent-encoded UTF-8."""
    if _LONE_PERCENT.search(text):
        raise ValueError("a percent sign is followed by two hexadecimal digits; write %25 for the sign itself")
    try:
        found = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("what is percent-encoded is not UTF-8") from None
    if CONTROL.search(found):
        raise ValueError("a control character is percent-encoded in it")
    return found


def shown(text: str) -> str:
    """The text for a message: without parameters and without what may be a password."""
    return repr(re.sub(r".*@", "…@", text.partition("?")[0]))


def advice(text: str) -> str:
    """Advice for a text that is not a URL: what was meant, and how to write it."""
    if found := re.match(r"arn:[a-z-]+:s3:::([\w.-]+)", text):
        return f"for the bucket of this ARN write s3://{found[1]}?region=…"
    if re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?(/\S*)?", text):
        return f"for the host of this name write https://{text}"
    if text.partition(":")[0].lower() in SCHEMES:
        return "two slashes follow the colon, as in s3://bucket?region=eu-west-1"
    return "write it as Nix does, e.g. s3://bucket?region=eu-west-1"
