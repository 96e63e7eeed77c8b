"""HTTP requests to the service, and to the servers that its links name. All have a time limit.

Only the service itself gets the token. Redirects are followed for downloads only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

from ...errors import CacheBusy, CacheError, one_line
from ..http1 import Connection, Response
from ..http_read import Reader
from ..http_servers import Servers
from ..pool import Pool
from ..protocol import Content
from ..redirects import Target, parse_target
from . import ranges
from .answers import WHERE, Words, broken, surprise
from .service import Expired, Part

_CALL: Final = 20.0  # seconds for a call of the service, which takes 0.3
_BLOCK: Final = 180.0  # seconds for a block of 8 MiB
_SMALL: Final = 64 << 10  # bytes that can be sent in the time of a call
_LONG: Final = 8  # characters: a shorter path of a URL is no secret
_GONE: Final = frozenset({404, 410})
_EXPIRED: Final = frozenset({401, 403})


class Transport:
    """Used from many threads at once. `words` makes messages of what the servers say.

    Raises CacheError for a proxy or certificates that the environment names and nobody can use.
    """

    def __init__(self, base: Target, token: str, environ: Mapping[str, str]) -> None:
        self._token = {"Authorization": f"Bearer {token}"} if token else {}
        path = base.path.rstrip("/")
        try:
            self._servers = Servers(base.origin, path, {}, environ)
        except OSError as error:  # the file with the certificates
            raise CacheError(f"{WHERE}: the certificates cannot be read: {one_line(error)}") from None
        self._reader = Reader(self._servers)
        self.words = Words([secret for secret in (token, path) if len(secret) >= _LONG])

    def call(
        self, what: str, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response:
        """The response of the service. Raises CacheBusy or CacheError if there is none."""
        return self._send(what, method, self._servers.target(path), {**self._token, **headers}, body)

    def post(self, what: str, path: str, headers: Mapping[str, str], request: Mapping[str, object]) -> Response:
        """As `call`, for a POST of JSON."""
        headers = {"Content-Type": "application/json", **headers}
        return self.call(what, "POST", path, headers, json.dumps(request).encode())

    def upload(self, what: str, link: str, query: str, headers: Mapping[str, str], body: bytes) -> Response:
        """The response to a PUT to a link, with more for its query."""
        target = parse_target(link)
        if target is None:
            surprise(what, "the link is no URL")
        path = f"{target.path}{'&' if '?' in target.path else '?'}{query}"
        return self._send(what, "PUT", Target(target.origin, path), headers, body)

    def read(self, link: str, start: int, end: int) -> Part | None:
        """See ActionsService."""
        found = self._download(link, start, end)
        if found is None:
            return None
        span, pieces, ignores_ranges = found
        return Part(b"".join(pieces), span.total, ignores_ranges)

    def stream(self, link: str, start: int, end: int) -> Content | None:
        """See ActionsService."""
        found = self._download(link, start, end)
        return Content(found[0].count, found[1]) if found else None

    def close_connections(self) -> None:
        """Close those that nobody uses."""
        self._servers.close_connections()

    def _send(self, what: str, method: str, target: Target, headers: Mapping[str, str], body: bytes | None) -> Response:
        sizes = {} if body is None else {"Content-Length": str(len(body))}
        timeout = _BLOCK if body and len(body) > _SMALL else _CALL

        def send(connection: Connection) -> Response:
            # A server that refuses a body often closes the connection, but responds before.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.send(head, timeout)
                connection.send(body or b"", timeout)
            return connection.response()

        try:
            pool = self._servers.pool(target.origin)
            head = pool.origin.request(method, target.path, {**sizes, **headers})
            return pool.use(send)
        except OSError as error:
            raise broken(what, error) from None

    def _download(self, link: str, start: int, end: int) -> tuple[ranges.Range, Iterator[bytes], bool] | None:
        what = "reading an entry"
        target = parse_target(link)
        if target is None:
            surprise(what, "the link is no URL")
        try:
            pool, connection, response = self._reader.begin(target, {"Range": ranges.asked(start, end)})
        except OSError as error:
            raise broken(what, error) from None
        span = ranges.answered(response.status, response.headers, start, end)
        if span:
            return span, _pieces(what, span, pool, connection, response), response.status == 200
        connection.close()
        if response.status in _GONE:
            return None
        if response.status in _EXPIRED:
            raise Expired(f"{WHERE}: {what}: the link is no longer accepted (HTTP status {response.status})")
        if response.status < 300:
            surprise(what, f"HTTP status {response.status} with another range than was asked for")
        raise self.words.refusal(what, response)


def _pieces(what: str, span: ranges.Range, pool: Pool, connection: Connection, response: Response) -> Iterator[bytes]:
    """The content of a response as far as it was asked for. Raises CacheBusy if there is less of it."""
    skip, left, ended = span.skip, span.count, False
    try:
        for piece in connection.content(response):
            if not left:
                break
            skipped = min(skip, len(piece))
            wanted = piece[skipped : skipped + left]
            skip, left = skip - skipped, left - len(wanted)
            if wanted:
                yield wanted
        else:
            ended = True
    except OSError as error:
        raise broken(what, error) from None
    finally:
        pool.give_back(connection, ended=ended)
    if left:
        raise CacheBusy(f"{WHERE}: {what}: the answer ended {left} bytes too early")
