"""GET and HEAD requests to an HTTP cache, which follow redirects. They raise OSError if there is no response."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from . import redirects
from .http1 import Connection, Response
from .http_servers import Servers
from .pool import Pool
from .redirects import Target

QUESTION: Final = 8.0  # seconds without a response
STREAM: Final = 60.0  # seconds in which nothing moves


class Reader:
    """Used from many threads at once. `met_http_1_0` is true once a server has answered in HTTP/1.0."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.met_http_1_0 = False

    def ask(self, method: str, name: str) -> Response:
        """The final response for one object, with its content if that is small."""
        return dict(self.ask_many(method, [name]))[name]

    def ask_many(self, method: str, names: Iterable[str]) -> Iterator[tuple[str, Response]]:
        """The final response for each object. Some may be missing.

        Raises OSError if a server does not answer the first of the requests that were sent to it.
        """
        targets = {name: self._servers.target(name) for name in names}
        for turn in range(redirects.MAX_REDIRECTS + 1):
            next_targets: dict[str, Target] = {}
            for origin in dict.fromkeys(target.origin for target in targets.values()):
                there = {name: target for name, target in targets.items() if target.origin == origin}
                for name, response in self._ask_server(method, origin, there).items():
                    target = redirects.redirected(there[name], response.status, response.headers)
                    if target and turn < redirects.MAX_REDIRECTS:
                        next_targets[name] = target
                    else:
                        yield name, response
            targets = next_targets

    def begin(self, target: Target, headers: Mapping[str, str] | None = None) -> tuple[Pool, Connection, Response]:
        """The final response to a GET, before its content is read, and where to read it."""
        for turn in range(redirects.MAX_REDIRECTS + 1):
            pool = self._servers.pool(target.origin)
            connection, response = pool.begin_response(pool.origin.request("GET", target.path, headers), STREAM)
            next_target = redirects.redirected(target, response.status, response.headers)
            if next_target is None or turn == redirects.MAX_REDIRECTS:
                break
            connection.close()
            target = next_target
        return pool, connection, response

    def _ask_server(self, method: str, origin: str, targets: Mapping[str, Target]) -> Mapping[str, Response]:
        pool = self._servers.pool(origin)
        requests = {name: pool.origin.request(method, target.path) for name, target in targets.items()}
        responses = pool.ask_together(requests, QUESTION, content=method != "HEAD")
        if any(response.version == "HTTP/1.0" for response in responses.values()):
            self.met_http_1_0 = True
        return responses
