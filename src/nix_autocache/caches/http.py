"""Caches behind plain HTTP: GET and PUT, as nginx, attic's proxies, WebDAV and artifact stores offer them.

A user and password in the URL become basic authentication, and are sent to no other server than the cache's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from ..errors import Error
from ..nix.store_url import CacheUrl
from ..system.net import seconds_to_wait
from .http1 import Connection, Response
from .http_read import Reader
from .http_servers import Servers
from .http_status import ARCHIVES, connection_error, does_not_exist, is_absent, is_stored_anyway, status_error
from .http_write import Writer
from .pool import Pool
from .protocol import Access, Body, Content, VisibleAtOnce
from .proxy import basic_authentication

_CONFLICT: Final = 409
_EARLY: Final = 24  # connections at most that are opened before the first request


class HttpCache(VisibleAtOnce):
    """An ObjectCache at an HTTP URL."""

    def __init__(self, url: CacheUrl, environ: Mapping[str, str]) -> None:
        login, at, host = url.authority.rpartition("@")
        base = f"{url.scheme}://{host}"
        self.where = f"{base}{url.path}"
        credentials = {"Authorization": basic_authentication(login)} if at else {}
        self._servers = Servers(base, url.path, credentials, environ)
        self._reader = Reader(self._servers)
        self._writer = Writer(self._servers, self._reader)

    def open_connections(self, count: int) -> None:
        """Open some connections in the background."""
        self._servers.home.open_early(min(count, _EARLY))

    def close_connections(self) -> None:
        self._servers.close_connections()

    def get(self, name: str) -> bytes | None:
        response = self._ask("GET", name)
        if response.status == 200:
            return response.content
        if is_absent(name, response.status):
            return None
        raise self._error(name, response)

    @property
    def together(self) -> int:
        return self._servers.home.together

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        with suppress(OSError):
            for name, response in self._reader.ask_many("GET", names):
                if response.status == 200:
                    found[name] = response.content
                elif is_absent(name, response.status):
                    found[name] = None
        return found

    def open(self, name: str) -> Content | None:
        try:
            pool, connection, response = self._reader.begin(self._servers.target(name))
        except OSError as error:
            raise connection_error(self.where, name, error) from None
        if response.status == 200:
            size = response.headers.get("content-length", "")
            pieces = self._pieces(name, pool, connection, response)
            return Content(int(size) if size.isdigit() else None, pieces)
        connection.close()
        if is_absent(name, response.status):
            return None
        raise self._error(name, response)

    def _pieces(self, name: str, pool: Pool, connection: Connection, response: Response) -> Iterator[bytes]:
        try:
            yield from pool.content(connection, response)
        except OSError as error:
            raise connection_error(self.where, name, error) from None

    def exists(self, name: str) -> bool:
        """Sends HEAD for archives only, and then GET if it is refused: a URL that is signed for GET refuses HEAD."""
        if not name.startswith(ARCHIVES):
            return self.get(name) is not None
        response = self._ask("HEAD", name)
        if response.status == 200:
            return True
        if response.status in {404, 410}:
            return False
        content = self.open(name)
        if content:
            content.close()
        return content is not None

    def put(self, name: str, body: Body, content_type: str) -> None:
        headers = {"Content-Type": content_type}
        try:
            response = self._writer.put(name, body, headers)
            if response.status == _CONFLICT and self._writer.made_folders(name):
                response = self._writer.put(name, body, headers)
        except OSError as error:
            raise connection_error(self.where, name, error) from None
        if response.status < 300:
            return
        refusal = does_not_exist(self.where) if response.status == 404 else self._error(name, response)
        if not is_stored_anyway(self, name, body, refusal):
            raise refusal

    def _ask(self, method: str, name: str) -> Response:
        try:
            return self._reader.ask(method, name)
        except OSError as error:
            raise connection_error(self.where, name, error) from None

    def _error(self, name: str, response: Response) -> Error:
        wait = seconds_to_wait(response.headers.get("retry-after"))
        reason = f"HTTP status {response.status} {response.reason}"
        return status_error(self.where, name, response.status, reason, wait)


def open_http(url: CacheUrl, access: Access) -> HttpCache:
    """The cache at an HTTP URL. Sends no request yet."""
    return HttpCache(url, access.environ)


def open_early(url: CacheUrl, environ: Mapping[str, str], count: int) -> HttpCache:
    """The cache at an HTTP URL, to which `count` connections are opened in the background."""
    cache = HttpCache(url, environ)
    cache.open_connections(count)
    return cache
