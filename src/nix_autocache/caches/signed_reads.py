"""Reads small objects of a bucket by URLs that its client signs, several in one round trip on a connection of our own.

It takes a third of the processor time of obstore's calls, which change threads twice for each object. What is not
answered plainly is left to obstore, which knows how a service refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from ..system.net import tls_context
from .http1 import Response
from .origin import Origin
from .pool import Pool
from .protocol import Content
from .proxy import proxy_for, proxy_headers
from .redirects import parse_target

_QUESTION: Final = 8.0  # seconds without a response
_STREAM: Final = 60.0  # seconds in which nothing moves

Sign = Callable[[Sequence[str]], Sequence[str]]
"""The URLs to GET the objects of these names."""


class SignedReads:
    """Used from many threads at once."""

    def __init__(self, sign: Sign, environ: Mapping[str, str]) -> None:
        self._sign, self._environ = sign, environ
        self._pools: dict[str, Pool] = {}
        self._last: Pool | None = None

    @property
    def together(self) -> int:
        """As that of the connections to where the last object was."""
        return self._last.together if self._last else 1

    def get(self, names: Sequence[str]) -> Mapping[str, Response]:
        """The responses to GET for these objects; some may be missing. Raises OSError, and what signing raises."""
        targets = [(name, parse_target(url)) for name, url in zip(names, self._sign(names), strict=True)]
        responses: dict[str, Response] = {}
        for origin in {target.origin for _, target in targets if target}:
            pool = self._last = self._pool(origin)
            requests = {
                name: pool.origin.request("GET", target.path)
                for name, target in targets
                if target and target.origin == origin
            }
            responses |= pool.ask_together(requests, _QUESTION)
        return responses

    def open(self, name: str) -> Content | None:
        """An object of any size; None if it is not answered plainly. Raises OSError, also while it is read, and what
        signing raises."""
        target = parse_target(self._sign([name])[0])
        if target is None:
            return None
        pool = self._pool(target.origin)
        connection, response = pool.begin_response(pool.origin.request("GET", target.path), _STREAM)
        size = response.headers.get("content-length", "")
        if response.status == 200 and size.isdigit():
            return Content(int(size), pool.content(connection, response))
        connection.close()
        return None

    def open_connections(self, name: str, count: int) -> None:
        """Open connections in the background to where this object is. Raises what signing raises."""
        if target := parse_target(self._sign([name])[0]):
            self._last = self._pool(target.origin)
            self._last.open_early(count)

    def close_connections(self) -> None:
        """Close those that nobody uses."""
        self._pools.clear()

    def _pool(self, base: str) -> Pool:
        if base not in self._pools:
            url = urlsplit(base)
            proxy = proxy_for(url, self._environ)
            context = tls_context(self._environ) if url.scheme == "https" else None
            origin = Origin(base=base, headers={}, context=context, proxy=proxy, to_proxy=proxy_headers(proxy))
            self._pools[base] = Pool(origin)
        return self._pools[base]
