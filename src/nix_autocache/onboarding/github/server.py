"""The kinds of GitHub servers: github.com, a tenant with data residency below ghe.com, and a company's own server."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

PUBLIC: Final = "github.com"
_TENANTS: Final = ".ghe.com"


def is_cloud(server: str) -> bool:
    """True for github.com and its tenants, whose tokens gh has in other variables than those of own servers."""
    host = urlsplit(server).netloc
    return host == PUBLIC or host.endswith(_TENANTS)


def api_url(server: str) -> str:
    """The address of a server's REST API."""
    return f"https://api.{urlsplit(server).netloc}" if is_cloud(server) else f"{server}/api/v3"


def issuer(server: str) -> str:
    """Host and path of who issues a server's id tokens: docs.github.com, "OpenID Connect reference" of each product."""
    host = urlsplit(server).netloc
    if is_cloud(server):
        return f"token.actions.{host.replace(PUBLIC, 'githubusercontent.com')}"
    return f"{host}/_services/token"
