"""Redirects: 301, 302, 307 and 308 keep the method, as in Nix; 303 says where to GET the result.

Credentials are sent to no other server than the cache's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from ..system.dataclass import dataclass
from ..system.net import DEFAULT_PORTS

MAX_REDIRECTS: Final = 10  # in a row, as in Nix
_SAME_METHOD: Final = frozenset({301, 302, 307, 308})
_SEE_OTHER: Final = 303
_UNQUOTED: Final = "%/:=&?~#+!$,;'@()*[]"  # characters that may stand in a whole URL


@dataclass(frozen=True)
class Target:
    """A server, as `scheme://host:port`, and a path on it, which may have a query."""

    origin: str
    path: str


def parse_target(url: str) -> Target | None:
    """None for a URL that is not HTTP. A user and a password in it are left out."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not host:
        return None
    name = f"[{host}]" if ":" in host else host
    query = f"?{parts.query}" if parts.query else ""
    return Target(f"{parts.scheme}://{name}{f':{port}' if port else ''}", f"{parts.path or '/'}{query}")


def redirected(target: Target, status: int, headers: Mapping[str, str]) -> Target | None:
    """The target that this response redirects a request for `target` to; None if it is no redirect."""
    location = headers.get("location")
    if not location or not (status in _SAME_METHOD or status == _SEE_OTHER):
        return None
    try:
        return parse_target(quote(urljoin(target.origin + target.path, location), safe=_UNQUOTED))
    except ValueError:  # such as half an IPv6 address
        return None


def is_result(status: int) -> bool:
    """True if a PUT was carried out, and the redirect only says where to GET the result."""
    return status == _SEE_OTHER


def is_other_host(home: str, origin: str) -> bool:
    return urlsplit(home).hostname != urlsplit(origin).hostname


def may_have_credentials(home: str, origin: str) -> bool:
    """True if `origin` is the server at `home` itself, or the same server by TLS."""
    return origin == home or (home.startswith("http://") and origin == f"https://{home.removeprefix('http://')}")
