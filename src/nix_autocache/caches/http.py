"""Caches behind plain HTTP: GET, HEAD and PUT, as nginx, attic's proxies, WebDAV and artifact stores offer.

Small bodies go through obstore. HTTP has no multipart upload, so a large archive is one PUT with a chunked body.
A user and password in the URL become basic authentication.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from obstore.store import HTTPStore

from ..errors import CacheBusy
from ..urls import CacheUrl
from . import Body
from .ahead import ahead
from .objects import Limits, Objects, client_options, refusal
from .patience import Patience, context, seconds
from .pipeline import Server

if TYPE_CHECKING:
    import http.client

_TIMEOUT = 60.0  # seconds without an answer
_AHEAD = 2 << 20  # bytes that are packed while the ones before are sent


class Http(Objects):
    """An ObjectCache at an HTTP URL."""

    def __init__(self, url: CacheUrl, environ: Mapping[str, str]) -> None:
        user, at, host = url.authority.rpartition("@")
        base = f"{url.scheme}://{host}{url.path}"
        self._headers = {"Authorization": _basic(user)} if at else {}
        super().__init__(
            partial(_store, base, self._headers, url, environ),
            base,
            Patience(lambda name: f"{base}/{name}", self._headers, environ),
        )
        self._context = context(environ) if url.scheme == "https" else None
        self._proxy = proxy_for(urlsplit(base), environ)

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        return {} if self._proxy else Server(self.where, self._headers, self._context).get_many(names)

    def _put(self, name: str, body: Body, attributes: dict[str, str] | None) -> None:
        if isinstance(body, bytes):
            super()._put(name, body, None)
        else:
            self._stream(name, body)

    def _stream(self, name: str, body: Iterator[bytes]) -> None:
        import http.client

        url = urlsplit(f"{self.where}/{name}")
        connection = self._connect(url)
        try:
            with ahead(body, _AHEAD) as packed:
                self._send(connection, url, packed)
            answer = connection.getresponse()
        except http.client.HTTPException as error:
            raise CacheBusy(f"{self.where}: {name}: {error!r}") from None
        finally:
            connection.close()
        if answer.status >= 300:
            wait = seconds(answer.getheader("Retry-After"))
            raise refusal(self.where, name, answer.status, f"HTTP status {answer.status} {answer.reason}", wait)

    def _connect(self, url: SplitResult) -> http.client.HTTPConnection:
        """To the server; through the proxy to a server with TLS; else to the proxy, which is told the whole URL."""
        import http.client

        if not self._context:
            return http.client.HTTPConnection((self._proxy or url).netloc.rpartition("@")[2], timeout=_TIMEOUT)
        if not self._proxy:
            return http.client.HTTPSConnection(url.netloc, timeout=_TIMEOUT, context=self._context)
        proxy = self._proxy.netloc.rpartition("@")[2]
        connection = http.client.HTTPSConnection(proxy, timeout=_TIMEOUT, context=self._context)
        connection.set_tunnel(url.netloc, headers=_to_proxy(self._proxy))
        return connection

    def _send(self, connection: http.client.HTTPConnection, url: SplitResult, body: Iterator[bytes]) -> None:
        by_proxy = self._proxy if not self._context else None
        headers = {**self._headers, **(_to_proxy(by_proxy) if by_proxy else {})}
        # A server that does not want the rest has answered before it closed; if not, getresponse() raises.
        with suppress(BrokenPipeError, ConnectionResetError):
            target = url.geturl() if by_proxy else url.path
            connection.request("PUT", target, body=body, headers=headers, encode_chunked=True)


def open_http(url: CacheUrl, environ: Mapping[str, str]) -> Http:
    """The cache at an HTTP URL; asks nothing of the network yet."""
    return Http(url, environ)


def _store(
    base: str, headers: Mapping[str, str], url: CacheUrl, environ: Mapping[str, str], limits: Limits
) -> HTTPStore:
    options = client_options(url, environ, limits)
    options["default_headers"] = dict(headers)
    return HTTPStore(base, client_options=options, retry_config=limits.retry_config)


def proxy_for(url: SplitResult, environ: Mapping[str, str]) -> SplitResult | None:
    """The proxy that the usual variables name for a URL, None where they name none or `no_proxy` has its host."""
    named = {name.lower()[:-6]: value for name, value in environ.items() if name.lower().endswith("_proxy") and value}
    found = named.get(url.scheme)
    if not found:
        return None
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    if proxy_bypass_environment(url.netloc, named):
        return None
    return urlsplit(found if "://" in found else f"http://{found}")


def _to_proxy(proxy: SplitResult) -> dict[str, str]:
    user, at, _ = proxy.netloc.rpartition("@")
    return {"Proxy-Authorization": _basic(user)} if at else {}


def _basic(user: str) -> str:
    return "Basic " + base64.b64encode(unquote(user).encode()).decode()
