"""The process that lets this machine's Nix read the cache, see `loopback`: GET and HEAD of what a binary cache holds.

It has the uploader's credentials but not the signing key, and answers whom Nix itself would let use it: see `peers`.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from ...caches.http_status import INFO
from ...caches.protocol import Content, ObjectCache, PathCache
from ...errors import CacheBusy, CacheError, one_line
from ...system import log, memory
from ..presence import decoded
from ..spec import UploadSpec
from .peers import Readers
from .server import ReadServer

T = TypeVar("T")

# Nix asks for nothing else; source: binary-cache-store.cc and the narinfo's URL field.
_NAME = re.compile(
    r"nix-cache-info|[0-9a-z]{32}\.(narinfo|ls)|nar/[0-9A-Za-z][0-9A-Za-z._?=-]*"
    r"|realisations/sha256:[0-9a-f]{64}![0-9A-Za-z+._?=-]+\.doi"
)

_LOOK: Final = 0.2  # seconds between looks
_IN_A_ROW: Final = 16  # objects without an answer, after which it is the cache, whatever it says of itself
_RESPITE: Final = 30.0  # seconds in which a cache that was in trouble is not asked


def main(uploader: Path, descriptor: int) -> int:
    """Serve on the socket of that descriptor until standard input, which begins with the job, has ended and the
    uploader's socket is gone."""
    memory.protect_memory()
    job = UploadSpec.from_json(sys.stdin.readline())
    os.environ.update(job.environ)
    cache = job.open_cache()
    assert not isinstance(cache, PathCache), "it has objects to read"
    server = ReadServer(socket.socket(fileno=descriptor), _Shelf(cache), Readers(job.nix))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    with suppress(OSError):  # a directory that cannot be looked into any more is gone as well
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
        self._failures = 0

    def open(self, name: str) -> Content | None:
        """None for what is not there, is nothing that Nix asks for, or cannot be read now."""
        if name.startswith("nar/"):
            return self._asked(name, self._cache.open)
        text = self._asked(name, self._cache.get)
        if text is None:
            return None
        text = decoded(text).encode() if name.endswith(".narinfo") else text
        return Content(len(text), iter([text]))

    def exists(self, name: str) -> bool:
        """The same, without its content."""
        return bool(self._asked(name, self._cache.exists))

    def _asked(self, name: str, ask: Callable[[str], T]) -> T | None:
        if not _NAME.fullmatch(name) or time.monotonic() < self._closed_until:
            return None
        try:
            found = ask(name)
            self._failures = 0
            return found
        except CacheBusy as error:
            self._closed_until = time.monotonic() + _RESPITE
            self._failures += 1
            if name != INFO and self._failures < _IN_A_ROW and self._answers():
                self._closed_until = 0.0
            else:
                log.line(f"not asked for {_RESPITE:g} s: {one_line(error)}")
        except CacheError:
            pass  # it is for this object alone, and any user can ask for a strange one
        return None

    def _answers(self) -> bool:
        """Whether the cache itself is well: who writes there may have one object lead to nowhere."""
        try:
            self._cache.get(INFO)
        except CacheBusy:
            return False
        except CacheError:
            pass  # an answer, too
        return True


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2])))
