"""Where an HTTP answer sends a request: 301, 302, 307 and 308 with the same method, as Nix follows them.

A 303 says where to GET the result. Credentials go to no other server than the cache's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

MOST: Final = 10  # in a row, as Nix has it
_SAME_METHOD: Final = frozenset({301, 302, 307, 308})
_SEE_OTHER: Final = 303
_SCHEMES: Final = frozenset({"http", "https"})
_KEPT: Final = "%/:=&?~#+!$,;'@()*[]"  # what `quote` leaves as it is in a whole URL


class Place(NamedTuple):
    """A server, as `scheme://host:port`, and what is asked of it: a path, perhaps with a query."""

    origin: str
    target: str


def place(url: str) -> Place | None:
    """What a URL names; None if it is not HTTP. A user and a password in it are left out."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _SCHEMES or not host:
        return None
    name = f"[{host}]" if ":" in host else host
    query = f"?{parts.query}" if parts.query else ""
    return Place(f"{parts.scheme}://{name}{f':{port}' if port else ''}", f"{parts.path or '/'}{query}")


def following(asked: Place, status: int, headers: Mapping[str, str]) -> Place | None:
    """Where the answer to a request sends it; None where it is the last one."""
    location = headers.get("location")
    if not location or not (status in _SAME_METHOD or status == _SEE_OTHER):
        return None
    try:
        return place(quote(urljoin(asked.origin + asked.target, location), safe=_KEPT))
    except ValueError:  # half an IPv6 address, for one
        return None


def is_get_now(status: int) -> bool:
    """Whether a redirected PUT was carried out, and the place named is only to be read."""
    return status == _SEE_OTHER


def is_elsewhere(home: str, origin: str) -> bool:
    """Whether `origin` is on another host than `home`."""
    return urlsplit(home).hostname != urlsplit(origin).hostname


def may_have_credentials(home: str, origin: str) -> bool:
    """Whether what is secret for the server at `home` may be sent to `origin`: itself, or itself by TLS."""
    return origin == home or (home.startswith("http://") and origin == f"https://{home.removeprefix('http://')}")
