"""The process that lets this machine's Nix read the cache, see `loopback`: GET and HEAD of what a binary cache holds.

It has the uploader's credentials but not the signing key, and answers whoever is on this machine: who can build here
could read the cache through Nix anyway.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from .. import custody
from ..caches import Content, ObjectCache, PathCache
from ..errors import Error, one_line
from .job import Job
from .loopback import HOST

# Nix asks for nothing else; source: binary-cache-store.cc and the narinfo's URL field.
_NAME = re.compile(
    r"nix-cache-info|[0-9a-z]{32}\.(narinfo|ls)|nar/[0-9A-Za-z._?=-]+"
    r"|realisations/sha256:[0-9a-f]{64}![0-9A-Za-z+._?=-]+\.doi"
)

_LOOK: Final = 0.2  # seconds between looks
_PATIENCE: Final = 5.0  # seconds for a port that is taken
_RESPITE: Final = 30.0  # seconds in which a cache that was in trouble is not asked


def main(uploader: Path) -> int:
    """Serve until standard input, which begins with the job, has ended and the uploader's socket is gone."""
    custody.protect_memory()
    job = Job.from_json(sys.stdin.readline())
    os.environ.update(job.environ)
    cache = job.open_cache()
    assert not isinstance(cache, PathCache), "it has objects to read"
    server = _listen(job.reader_port, _Shelf(cache))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    while uploader.exists():
        time.sleep(_LOOK)
    return 0


class _Shelf:
    """What Nix is to see of a cache: a bad day of the cache's is one without hits, for a while.

    Nix gives a build up when a substituter answers with an error, and goes on when it has nothing.
    """

    def __init__(self, cache: ObjectCache) -> None:
        self._cache = cache
        self._closed_until = 0.0

    def open(self, name: str) -> Content | None:
        """None for what is not there, is nothing that Nix asks for, or cannot be had now."""
        if not _NAME.fullmatch(name) or time.monotonic() < self._closed_until:
            return None
        try:
            if name.startswith("nar/"):
                return self._cache.open(name)
            text = self._cache.get(name)
        except Error as error:
            self._closed_until = time.monotonic() + _RESPITE
            print(f"not asked for {_RESPITE:g} s: {one_line(error)}", file=sys.stderr, flush=True)
            return None
        return Content(len(text), iter([text])) if text is not None else None


def _listen(port: int, shelf: _Shelf) -> _Server:
    """The one before may be about to end."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return _Server((HOST, port), partial(_Handler, shelf))
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(_LOOK)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    """One connection of Nix's; it keeps it for many requests."""

    protocol_version = "HTTP/1.1"
    timeout = 60.0  # seconds of silence

    def __init__(self, shelf: _Shelf, *words: Any) -> None:
        self._shelf = shelf
        super().__init__(*words)

    def do_GET(self) -> None:
        content = self._head()
        try:
            for piece in content.pieces if content else ():
                self.wfile.write(piece)
        except (Error, OSError) as error:
            self.log_error("%s: %s", self.path, one_line(error))
            self.close_connection = True  # too late to say anything else

    def do_HEAD(self) -> None:
        self._head()

    def _head(self) -> Content | None:
        content = self._shelf.open(unquote(self.path).removeprefix("/"))  # Nix 2.34 encodes the ! of a realisation
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(content.size if content else 0))
        self.end_headers()
        return content

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Only what goes wrong is worth a line."""


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
