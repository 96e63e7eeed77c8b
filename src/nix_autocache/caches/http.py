"""Caches behind plain HTTP: GET, HEAD and PUT, as nginx, attic's proxies, WebDAV and artifact stores offer.

Small bodies go through obstore. HTTP has no multipart upload, so a large archive is one PUT with a chunked body.
A user and password in the URL become basic authentication.
"""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

from obstore.store import HTTPStore

from ..errors import CacheBusy, CacheError
from ..urls import CacheUrl
from . import Body
from .objects import RETRY, Objects, client_options

_TIMEOUT = 60.0  # seconds without an answer


class Http(Objects):
    """An ObjectCache at an HTTP URL."""

    def __init__(self, url: CacheUrl, environ: Mapping[str, str]) -> None:
        user, at, host = url.authority.rpartition("@")
        base = f"{url.scheme}://{host}{url.path}"
        self._headers = {"Authorization": _basic(user)} if at else {}
        options = client_options(url, environ)
        options["default_headers"] = self._headers
        super().__init__(HTTPStore(base, client_options=options, retry_config=RETRY), base)
        cafile = environ.get("NIX_SSL_CERT_FILE")
        self._context = ssl.create_default_context(cafile=cafile) if url.scheme == "https" else None

    def _put(self, name: str, body: Body, attributes: dict[str, str] | None) -> None:
        if isinstance(body, bytes):
            super()._put(name, body, None)
        else:
            self._stream(name, body)

    def _stream(self, name: str, body: Iterator[bytes]) -> None:
        parts = urlsplit(f"{self.where}/{name}")
        connection = _connect(parts.netloc, self._context)
        try:
            connection.request("PUT", parts.path, body=body, headers=self._headers, encode_chunked=True)
            status = connection.getresponse().status
        except http.client.HTTPException as error:
            raise CacheBusy(f"{self.where}: {name}: {error!r}") from None
        finally:
            connection.close()
        if status in {408, 425, 429} or status >= 500:
            raise CacheBusy(f"{self.where}: {name}: HTTP status {status}")
        if status >= 300:
            raise CacheError(f"{self.where} refused {name}: HTTP status {status}")


def open_http(url: CacheUrl, environ: Mapping[str, str]) -> Http:
    """The cache at an HTTP URL; asks nothing of the network yet."""
    return Http(url, environ)


def _connect(netloc: str, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if context:
        return http.client.HTTPSConnection(netloc, timeout=_TIMEOUT, context=context)
    return http.client.HTTPConnection(netloc, timeout=_TIMEOUT)


def _basic(user: str) -> str:
    return "Basic " + base64.b64encode(unquote(user).encode()).decode()
