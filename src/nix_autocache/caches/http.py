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
from urllib.parse import unquote, urlsplit

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
    import ssl

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
        self._proxied = any(name.lower().endswith("_proxy") and name.lower() != "no_proxy" for name in environ)

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        return {} if self._proxied else Server(self.where, self._headers, self._context).get_many(names)

    def _put(self, name: str, body: Body, attributes: dict[str, str] | None) -> None:
        if isinstance(body, bytes):
            super()._put(name, body, None)
        else:
            self._stream(name, body)

    def _stream(self, name: str, body: Iterator[bytes]) -> None:
        import http.client

        parts = urlsplit(f"{self.where}/{name}")
        connection = _connect(parts.netloc, self._context)
        try:
            with ahead(body, _AHEAD) as packed:
                self._send(connection, parts.path, packed)
            answer = connection.getresponse()
        except http.client.HTTPException as error:
            raise CacheBusy(f"{self.where}: {name}: {error!r}") from None
        finally:
            connection.close()
        if answer.status >= 300:
            wait = seconds(answer.getheader("Retry-After"))
            raise refusal(self.where, name, answer.status, f"HTTP status {answer.status} {answer.reason}", wait)

    def _send(self, connection: http.client.HTTPConnection, path: str, body: Iterator[bytes]) -> None:
        # A server that does not want the rest has answered before it closed; if not, getresponse() raises.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("PUT", path, body=body, headers=self._headers, encode_chunked=True)


def open_http(url: CacheUrl, environ: Mapping[str, str]) -> Http:
    """The cache at an HTTP URL; asks nothing of the network yet."""
    return Http(url, environ)


def _store(
    base: str, headers: Mapping[str, str], url: CacheUrl, environ: Mapping[str, str], limits: Limits
) -> HTTPStore:
    options = client_options(url, environ, limits)
    options["default_headers"] = dict(headers)
    return HTTPStore(base, client_options=options, retry_config=limits.retry_config)


def _connect(netloc: str, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
    import http.client

    if context:
        return http.client.HTTPSConnection(netloc, timeout=_TIMEOUT, context=context)
    return http.client.HTTPConnection(netloc, timeout=_TIMEOUT)


def _basic(user: str) -> str:
    return "Basic " + base64.b64encode(unquote(user).encode()).decode()
