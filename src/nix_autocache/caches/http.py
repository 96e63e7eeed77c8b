"""Caches behind plain HTTP: GET and PUT, as nginx, attic's proxies, WebDAV and artifact stores offer.

Requests go out on connections that are kept, and are followed where an answer sends them, see `redirects`. HTTP has no
multipart upload, so a large archive is one PUT: with a chunked body, or packed twice where the server must know its
size first. A user and password in the URL become basic authentication, and are sent to no other server.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import CacheError, Error
from ..nix.store_url import CacheUrl
from ..system.net import seconds_to_wait, tls_context
from . import redirects
from .http1 import Connection, Origin, Response
from .http_status import ARCHIVES, is_absent, missing, refusal, stored_anyway, unanswered
from .pool import Pool
from .prefetch import prefetch
from .protocol import Access, Body, Content
from .redirects import Place

_QUESTION: Final = 8.0  # seconds without an answer
_ARCHIVE: Final = 180.0  # seconds for an archive in one piece: 4 MB take 16 at 2 Mbit/s
_STREAM: Final = 60.0  # seconds in which nothing moves
_SMALL: Final = 64 << 10  # bytes that a question's time is enough for
_AHEAD: Final = 2 << 20  # bytes that are packed while the ones before are sent
_EARLY: Final = 12  # connections at most that are opened before the first question
_SPARE: Final = 2  # connections that archives leave to narinfos
_SERVERS: Final = 16  # other servers at most whose connections are kept
_UNCHUNKED: Final = frozenset({400, 411, 501})  # how servers refuse a body without Content-Length


class Http:
    """An ObjectCache at an HTTP URL."""

    def __init__(self, url: CacheUrl, environ: Mapping[str, str]) -> None:
        self._environ = environ
        user, at, host = url.authority.rpartition("@")
        self.where = f"{url.scheme}://{host}{url.path}"
        self._headers = {"Authorization": _basic(user)} if at else {}
        home = redirects.place(f"{url.scheme}://{host}")
        self._home = home.origin if home else f"{url.scheme}://{host}"
        self._path = url.path
        self._pools: dict[str, Pool] = {}
        self._measures = False  # whether the server must know the size of each body
        self._broken: set[str] = set()  # what was cut off while it was sent without its size
        self._chunks_arrive = False  # whether a body without its size has been seen to be stored
        self._pool(self._home)  # certificates that cannot be read are said now

    def begin(self, count: int) -> None:
        """Open some connections, in the background."""
        self._pool(self._home).begin(min(count, _EARLY))

    def get(self, name: str) -> bytes | None:
        answer = self._one("GET", name)
        if answer.status == 200:
            return answer.content
        if is_absent(name, answer.status):
            return None
        raise self._refusal(name, answer)

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        answers: dict[str, Response] = {}
        with suppress(OSError):
            self._ask("GET", {name: self._place(name) for name in names}, answers)
        return {
            name: answer.content if answer.status == 200 else None
            for name, answer in answers.items()
            if answer.status == 200 or is_absent(name, answer.status)
        }

    def open(self, name: str) -> Content | None:
        try:
            pool, connection, answer = self._begin(self._place(name))
        except OSError as error:
            raise unanswered(self.where, name, error) from None
        if answer.status == 200:
            size = answer.headers.get("content-length", "")
            pieces = self._pieces(name, pool, connection, answer)
            return Content(int(size) if size.isdigit() else None, pieces)
        connection.close()
        if is_absent(name, answer.status):
            return None
        raise self._refusal(name, answer)

    def _begin(self, place: Place) -> tuple[Pool, Connection, Response]:
        """The last answer to a GET, whose content is not read yet."""
        for turn in range(redirects.MOST + 1):
            pool = self._pool(place.origin)
            connection, answer = pool.begin_answer(pool.server.request("GET", place.target), _STREAM)
            following = redirects.following(place, answer.status, answer.headers)
            if following is None or turn == redirects.MOST:
                break
            connection.close()
            place = following
        return pool, connection, answer

    def _pieces(self, name: str, pool: Pool, connection: Connection, answer: Response) -> Iterator[bytes]:
        ended = False
        try:
            yield from connection.content(answer)
            ended = True
        except OSError as error:
            raise unanswered(self.where, name, error) from None
        finally:
            pool.give_back(connection, ended=ended)

    def exists(self, name: str) -> bool:
        """Asks by HEAD for what may be large only: a place that was signed for GET refuses it."""
        if not name.startswith(ARCHIVES):
            return self.get(name) is not None
        answer = self._one("HEAD", name)
        if answer.status == 200:
            return True
        if answer.status in {404, 410}:
            return False
        content = self.open(name)
        if content:
            content.close()
        return content is not None

    def put(self, name: str, body: Body, content_type: str) -> None:
        try:
            answer = self._put(name, body, {"Content-Type": content_type})
        except OSError as error:
            raise unanswered(self.where, name, error) from None
        if answer.status < 300:
            return
        refused = missing(self.where) if answer.status == 404 else self._refusal(name, answer)
        if not stored_anyway(self, name, body, refused):
            raise refused

    def _put(self, name: str, body: Body, headers: Mapping[str, str]) -> Response:
        """The last answer. A body is sent to each place that a redirect names, and is packed anew for that."""
        place = self._place(name)
        for _ in range(redirects.MOST + 1):
            send = self._send if isinstance(body, bytes) else self._stream
            answer = send(place, name, body, headers)  # type: ignore[arg-type]
            following = redirects.following(place, answer.status, answer.headers)
            if following is None:
                break
            place = following
            if redirects.is_get_now(answer.status):
                _, connection, answer = self._begin(place)
                connection.close()
                break
        return answer

    def _send(self, place: Place, name: str, body: bytes, headers: Mapping[str, str]) -> Response:
        pool = self._pool(place.origin)
        request = pool.server.request("PUT", place.target, {**headers, "Content-Length": str(len(body))}) + body

        def send(connection: Connection) -> Response:
            with suppress(BrokenPipeError, ConnectionResetError):  # as in _stream
                connection.send(request, _QUESTION if len(body) <= _SMALL else _ARCHIVE)
            return connection.answer()

        return pool.use(send, _SPARE if name.startswith(ARCHIVES) else 0)

    def _stream(self, place: Place, name: str, body: Iterable[bytes], headers: Mapping[str, str]) -> Response:
        """Without the size of the body, unless the server has shown that it must know it: that costs packing twice."""
        if self._measures or name in self._broken:
            return self._measured(place, body, headers)
        try:
            answer = self._send_pieces(place, body, {**headers, "Transfer-Encoding": "chunked"})
        except OSError:
            self._broken.add(name)  # the answer to a refused body is easily lost with its connection
            raise
        if answer.status not in _UNCHUNKED and (answer.status >= 300 or self._arrived(name)):
            return answer
        answer = self._measured(place, body, headers)
        self._measures = self._measures or answer.status < 300
        return answer

    def _measured(self, place: Place, body: Iterable[bytes], headers: Mapping[str, str]) -> Response:
        size = sum(map(len, body))
        return self._send_pieces(place, body, {**headers, "Content-Length": str(size)})

    def _send_pieces(self, place: Place, body: Iterable[bytes], headers: Mapping[str, str]) -> Response:
        pool = self._pool(place.origin)
        request = pool.server.request("PUT", place.target, headers)

        def send(connection: Connection) -> Response:
            with prefetch(body, _AHEAD) as packed:
                # A server that does not want the rest has answered before it closed; if not, answer() raises.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.send(request, _STREAM)
                    (connection.send_all if "Content-Length" in headers else connection.send_chunked)(packed)
                return connection.answer()

        return pool.use_new(send)

    def _arrived(self, name: str) -> bool:
        """Whether the first body that was sent without its size is there: some servers store nothing of it."""
        if not self._chunks_arrive:
            with suppress(OSError, Error):
                answer = self._one("HEAD", name)
                if answer.status == 200 and answer.headers.get("content-length") == "0":
                    return False
            self._chunks_arrive = True
        return True

    def _one(self, method: str, name: str) -> Response:
        answers: dict[str, Response] = {}
        try:
            self._ask(method, {name: self._place(name)}, answers)
        except OSError as error:
            raise unanswered(self.where, name, error) from None
        return answers[name]

    def _ask(self, method: str, places: Mapping[str, Place], answers: dict[str, Response]) -> None:
        """Ask for each object where it is, and again where that sends us; the last answers go into `answers`.

        Raises OSError when there is no answer to the first of those that go to one server.
        """
        for turn in range(redirects.MOST + 1):
            next_places: dict[str, Place] = {}
            for origin in dict.fromkeys(place.origin for place in places.values()):
                there = {name: place for name, place in places.items() if place.origin == origin}
                for name, answer in self._ask_one_server(method, origin, there).items():
                    place = redirects.following(there[name], answer.status, answer.headers)
                    if place and turn < redirects.MOST:
                        next_places[name] = place
                    else:
                        answers[name] = answer
            places = next_places

    def _ask_one_server(self, method: str, origin: str, places: Mapping[str, Place]) -> dict[str, Response]:
        """The requests go out together, the answers come in order (RFC 9112, 9.3.2: for safe methods only)."""
        answers: dict[str, Response] = {}
        pool = self._pool(origin)
        requests = b"".join(pool.server.request(method, place.target) for place in places.values())

        def ask(connection: Connection) -> None:
            connection.send(requests, _QUESTION)
            for name in places:
                try:
                    answers[name] = connection.answer(content=method != "HEAD")
                    self._measures = self._measures or connection.version == "HTTP/1.0"  # which knows no chunks
                except OSError:
                    connection.kept = False
                    if not answers:
                        raise
                if not connection.kept:
                    break

        pool.use(ask)
        return answers

    def _place(self, name: str) -> Place:
        return Place(self._home, f"{self._path}/{name}")

    def _pool(self, origin: str) -> Pool:
        """Connections to a server. The credentials are for the cache's own."""
        if origin not in self._pools:
            url = urlsplit(origin)
            proxy = proxy_for(url, self._environ)
            trusted = tls_context(self._environ) if url.scheme == "https" else None
            headers = self._headers if redirects.may_have_credentials(self._home, origin) else {}
            if len(self._pools) > _SERVERS:  # a cache that sends each request to another server
                self._pools.clear()
            elsewhere = redirects.is_elsewhere(self._home, origin)
            self._pools[origin] = Pool(Origin(origin, headers, trusted, proxy, _to_proxy(proxy), elsewhere))
        return self._pools[origin]

    def _refusal(self, name: str, answer: Response) -> Error:
        wait = seconds_to_wait(answer.headers.get("retry-after"))
        return refusal(self.where, name, answer.status, f"HTTP status {answer.status} {answer.reason}", wait)


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
    try:
        proxy = urlsplit(found if "://" in found else f"http://{found}")
        if proxy.hostname and proxy.port != 0:
            return proxy
    except ValueError:  # it says what it does not understand, which may be half of the password
        pass
    raise CacheError(
        f"{url.scheme}_proxy does not name a proxy as http://host:port; special characters in its user or password are "
        "percent-encoded, such as %2F for /"
    )


def _to_proxy(proxy: SplitResult | None) -> dict[str, str]:
    user, at, _ = proxy.netloc.rpartition("@") if proxy else ("", "", "")
    return {"Proxy-Authorization": _basic(user)} if at else {}


def _basic(user: str) -> str:
    return "Basic " + base64.b64encode(unquote(user).encode()).decode()
