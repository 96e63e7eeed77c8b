"""A bucket that is read by URLs that its client signs, on connections of our own.

It takes a third of the processor time of obstore's calls, which change threads twice for each object, and several small
objects come in one round trip. What is not answered plainly is left to obstore, which knows how a service refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import obstore
from obstore import exceptions

from ..errors import CacheBusy, CacheError
from ..nix.store_url import CacheUrl
from .http1 import Response
from .http_read import QUESTION, STREAM
from .http_servers import Servers
from .http_status import DENIED, INFO, connection_error, is_absent
from .object_store import ObjectStoreCache
from .pool import Pool
from .protocol import Content
from .redirects import Target, parse_target

_SIGNED: Final = timedelta(minutes=1)  # for which a URL is good
_FEW: Final = 4  # objects; obstore asks for so few as fast, and archives then find its connections open
_UNCLEAR: Final = (
    exceptions.BaseError,
    OSError,
    CacheBusy,
    CacheError,
    KeyError,
)  # obstore's own request says what it is


class _Signing(ObjectStoreCache):
    """Reads small objects together, for services whose URLs are signed without a request."""

    def __init__(self, url: CacheUrl, opener: Any, environ: Mapping[str, str], *more: Any) -> None:
        super().__init__(url, opener, environ, *more)
        self._environ = environ
        self._servers: Servers | None = None

    @property
    def together(self) -> int:
        return self._servers.home.together if self._servers else 1

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        with suppress(TimeoutError):
            return self._read(names)
        return {}

    def close_connections(self) -> None:
        super().close_connections()
        if self._servers:
            self._servers.close_connections()

    def _read(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        """Those of the objects with a plain answer. Raises TimeoutError."""
        try:
            targets = self._targets(names)
            responses = self._ask(targets) if targets else {}
        except TimeoutError:
            raise
        except _UNCLEAR:
            return {}
        found = {name: response.content for name, response in responses.items() if response.status == 200}
        return {**dict.fromkeys(name for name in responses if self._lacks(name, responses[name])), **found}

    def _lacks(self, name: str, response: Response) -> bool:
        return response.status == 404

    def _ask(self, targets: Mapping[str, Target]) -> Mapping[str, Response]:
        pool = self._pool(next(iter(targets.values())).origin)  # that of the bucket
        requests = {name: pool.origin.request("GET", target.path) for name, target in targets.items()}
        return pool.ask_together(requests, QUESTION)

    def _targets(self, names: Sequence[str]) -> Mapping[str, Target]:
        """Where the objects are, with the signatures, but for a URL that is not of HTTP. Raises what signing raises."""
        if self._credentials:
            self._credentials.frozen()  # renewed here before they expire
        store: Any = self.store  # one that can sign
        urls = obstore.sign(store, "GET", list(names), _SIGNED)
        targets = {name: parse_target(str(url)) for name, url in zip(names, urls, strict=True)}
        return {name: target for name, target in targets.items() if target}

    def _pool(self, origin: str) -> Pool:
        self._servers = self._servers or Servers(origin, "", {}, self._environ)
        return self._servers.pool(origin)


class SignedBucket(_Signing):
    """For whoever only reads: what is refused counts as absent."""

    def open_connections(self, count: int) -> None:
        with suppress(*_UNCLEAR):
            self._pool(self._targets([INFO])[INFO].origin).open_early(count)

    def get(self, name: str) -> bytes | None:
        try:
            if name in (read := self._read([name])):
                return read[name]
        except TimeoutError as error:  # obstore would wait as long again
            raise connection_error(self.where, name, error) from None
        return super().get(name)

    def open(self, name: str) -> Content | None:
        with suppress(*_UNCLEAR):
            target = self._targets([name])[name]
            pool = self._pool(target.origin)
            connection, response = pool.begin_response(pool.origin.request("GET", target.path), STREAM)
            size = response.headers.get("content-length", "")
            if response.status == 200 and size.isdigit():
                return Content(int(size), self._resumed(name, int(size), pool.content(connection, response)))
            connection.close()
        return super().open(name)

    def _resumed(self, name: str, size: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces; the rest of them by obstore if the connection breaks."""
        read = 0
        with suppress(OSError):
            for piece in pieces:
                read += len(piece)
                yield piece
        if read < size:
            yield from self._rest(name, read)

    def _lacks(self, name: str, response: Response) -> bool:
        # A refusal may mean that credentials from elsewhere are to be refreshed.
        return response.status == 404 or (not self._credentials and is_absent(name, response.status))


class PushedBucket(_Signing):
    """For whoever pushes, or deletes what nothing needs: only many small objects are read so, the rest by obstore.

    A policy can deny signed URLs and allow signed headers. So what is refused may be there, and is asked for by obstore
    from then on.
    """

    def __init__(self, url: CacheUrl, opener: Any, environ: Mapping[str, str], *more: Any) -> None:
        super().__init__(url, opener, environ, *more)
        self._refused = False

    def get_many(self, names: Sequence[str]) -> Mapping[str, bytes | None]:
        return {} if self._refused or len(names) <= _FEW else super().get_many(names)

    def _ask(self, targets: Mapping[str, Target]) -> Mapping[str, Response]:
        responses = super()._ask(targets)
        self._refused = self._refused or any(each.status in DENIED for each in responses.values())
        return responses
