"""Caches behind plain HTTP: GET and PUT, as nginx, attic's proxies, WebDAV and artifact stores offer.

What is plain is done here, on connections that are kept. What is not, such as a question that is sent elsewhere, is
done by obstore, which also says what was wrong where there was no answer. HTTP has no multipart upload, so a large
archive is one PUT with a chunked body. A user and password in the URL become basic authentication.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import CacheBusy
from ..urls import CacheUrl
from . import Access, Body, Content
from .ahead import ahead
from .connections import Connections
from .patience import Patience, context, seconds
from .refusal import missing, refusal
from .wire import Answer, Connection, Server

if TYPE_CHECKING:
    from obstore.store import HTTPStore

    from .objects import Limits, Objects

_QUESTION: Final = 8.0  # seconds without an answer
_ARCHIVE: Final = 180.0  # seconds for an archive in one piece: 4 MB take 16 at 2 Mbit/s
_STREAM: Final = 60.0  # seconds in which nothing moves
_SMALL: Final = 64 << 10  # bytes that a question's time is enough for
_AHEAD: Final = 2 << 20  # bytes that are packed while the ones before are sent
_EARLY: Final = 12  # connections at most that are opened before the first question
_SPARE: Final = 2  # connections that archives leave to narinfos
_ARCHIVES: Final = "nar/"


class Http:
    """An ObjectCache at an HTTP URL."""

    def __init__(self, url: CacheUrl, environ: Mapping[str, str]) -> None:
        self._url, self._environ = url, environ
        user, at, host = url.authority.rpartition("@")
        self.where = f"{url.scheme}://{host}{url.path}"
        self._headers = {"Authorization": _basic(user)} if at else {}
        proxy = proxy_for(urlsplit(self.where), environ)
        trusted = context(environ) if url.scheme == "https" else None
        server = Server(self.where, self._headers, trusted, proxy, _to_proxy(proxy) if proxy else None)
        self._connections = Connections(server)

    def begin(self, count: int) -> None:
        """Open some connections, in the background."""
        self._connections.begin(min(count, _EARLY))

    def get(self, name: str) -> bytes | None:
        found = self.get_many([name])
        return found[name] if name in found else self._unusual.get(name)

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        """The requests go out together, the answers come in order (RFC 9112, 9.3.2: for safe methods only)."""
        found: dict[str, bytes | None] = {}
        questions = b"".join(self._connections.server.request("GET", name) for name in names)

        def ask(connection: Connection) -> None:
            connection.send(questions, _QUESTION)
            for name in names:
                answer = connection.answer()
                if answer.status in {200, 404}:
                    found[name] = answer.content if answer.status == 200 else None
                if not connection.kept:
                    break

        with suppress(OSError):
            self._connections.use(ask)
        return found

    def open(self, name: str) -> Content | None:
        return self._unusual.open(name)

    def exists(self, name: str) -> bool:
        return self._unusual.exists(name)  # it is asked where get_many() had no answer

    def put(self, name: str, body: Body, content_type: str) -> None:
        headers = {"Content-Type": content_type}
        answer = self._put(name, body, headers) if isinstance(body, bytes) else self._stream(name, body, headers)
        if answer is None:
            assert isinstance(body, bytes), "a stream cannot be sent twice"
            self._unusual.put(name, body, content_type)
        elif answer.status == 404:
            raise missing(self.where)
        elif answer.status >= 300:
            wait = seconds(answer.headers.get("retry-after"))
            raise refusal(self.where, name, answer.status, f"HTTP status {answer.status} {answer.reason}", wait)

    def _put(self, name: str, body: bytes, headers: Mapping[str, str]) -> Answer | None:
        """None where there was no answer."""
        request = self._connections.server.request("PUT", name, {**headers, "Content-Length": str(len(body))}) + body

        def send(connection: Connection) -> Answer:
            connection.send(request, _QUESTION if len(body) <= _SMALL else _ARCHIVE)
            return connection.answer()

        try:
            return self._connections.use(send, _SPARE if name.startswith(_ARCHIVES) else 0)
        except TimeoutError:
            raise CacheBusy(f"{self.where}: {name}: no answer in time") from None
        except OSError:
            return None

    def _stream(self, name: str, body: Iterator[bytes], headers: Mapping[str, str]) -> Answer:
        request = self._connections.server.request("PUT", name, {**headers, "Transfer-Encoding": "chunked"})

        def send(connection: Connection) -> Answer:
            with ahead(body, _AHEAD) as packed:
                # A server that does not want the rest has answered before it closed; if not, answer() raises.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.send(request, _STREAM)
                    connection.send_chunked(packed)
                return connection.answer()

        try:
            return self._connections.use_new(send)
        except OSError as error:
            raise self._unusual.classified(name, error) from None

    @cached_property
    def _unusual(self) -> Objects:
        from .objects import Objects

        patience = Patience(lambda name: f"{self.where}/{name}", self._headers, self._environ)
        return Objects(self._store, self.where, patience)

    def _store(self, limits: Limits) -> HTTPStore:
        from obstore.store import HTTPStore

        from .objects import client_options

        options = client_options(self._url, self._environ, limits)
        options["default_headers"] = dict(self._headers)
        return HTTPStore(self.where, client_options=options, retry_config=limits.retry_config)


def open_http(url: CacheUrl, access: Access) -> Http:
    """The cache at an HTTP URL; asks nothing of the network yet."""
    return Http(url, access.environ)


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
