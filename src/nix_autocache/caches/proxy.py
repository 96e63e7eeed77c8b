"""The proxy that the environment names for a server, and basic authentication, for proxies and caches."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import CacheError


def proxy_for(url: SplitResult, environ: Mapping[str, str]) -> SplitResult | None:
    """The proxy for a URL by the usual variables; None if they name none, or `no_proxy` has the host."""
    named = {name.lower()[:-6]: value for name, value in environ.items() if name.lower().endswith("_proxy") and value}
    found = named.get(url.scheme)
    if not found:
        return None
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    if proxy_bypass_environment(url.netloc, named):
        return None
    try:
        proxy = urlsplit(found if "://" in found else f"http://{found}")
        if proxy.hostname and proxy.port != 0:
            return proxy
    except ValueError:  # its message may have half of the password
        pass
    raise CacheError(
        f"{url.scheme}_proxy does not name a proxy as http://host:port; special characters in its user or password are "
        "percent-encoded, such as %2F for /"
    )


def proxy_headers(proxy: SplitResult | None) -> dict[str, str]:
    """The credentials in the URL of a proxy, as headers."""
    user, at, _ = proxy.netloc.rpartition("@") if proxy else ("", "", "")
    return {"Proxy-Authorization": basic_authentication(user)} if at else {}


def basic_authentication(login: str) -> str:
    """The header's value for `user:password` as it stands in a URL."""
    return "Basic " + base64.b64encode(unquote(login).encode()).decode()
