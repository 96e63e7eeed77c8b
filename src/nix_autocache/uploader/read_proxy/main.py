"""The read proxy's process: GET and HEAD of the objects of a binary cache, for this machine's Nix (see `launch`).

It has the uploader's credentials but not the signing key. It answers only users that
Nix itself would serve, see `peers`.
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
from .peers import AllowedUsers
from .server import ReadServer

T = TypeVar("T")

# All that Nix asks for; source: binary-cache-store.cc and the narinfo's URL field.
_NAME = re.compile(
    r"nix-cache-info|[0-9a-z]{32}\.(narinfo|ls)|nar/[0-9A-Za-z][0-9A-Za-z._?=-]*"
    r"|realisations/sha256:[0-9a-f]{64}![0-9A-Za-z+._?=-]+\.doi"
)

_POLL: Final = 0.2  # seconds
_MAX_FAILURES: Final = 16  # objects in a row without an answer: then the cache is in trouble, even if it seems well
_PAUSE: Final = 30.0  # seconds for which a cache in trouble is not asked


def main(uploader: Path, descriptor: int) -> int:
    """Serve on the socket `descriptor` until standard input has ended and the uploader's socket is gone.

    The first line of standard input is the spec.
    """
    memory.protect_memory()
    spec = UploadSpec.from_json(sys.stdin.readline())
    os.environ.update(spec.environ)
    cache = spec.open_cache()
    assert not isinstance(cache, PathCache), "it has objects to read"
    server = ReadServer(socket.socket(fileno=descriptor), CacheObjects(cache), AllowedUsers(spec.nix))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    with suppress(OSError):  # an unreadable directory counts as gone
        while uploader.exists():
            time.sleep(_POLL)
    return 0


class CacheObjects:
    """The objects of a cache; while the cache is in trouble, it seems to have none.

    Nix aborts a build when a substituter answers with an error, and goes on when an object is missing.
    """

    def __init__(self, cache: ObjectCache) -> None:
        self._cache = cache
        self._closed_until = 0.0
        self._failures = 0

    def open(self, name: str) -> Content | None:
        """None if it is missing, cannot be read now, or is nothing that Nix asks for."""
        if name.startswith("nar/"):
            return self._found(name, self._cache.open)
        text = self._found(name, self._cache.get)
        if text is None:
            return None
        text = decoded(text).encode() if name.endswith(".narinfo") else text
        return Content(len(text), iter([text]))

    def exists(self, name: str) -> bool:
        return bool(self._found(name, self._cache.exists))

    def _found(self, name: str, ask: Callable[[str], T]) -> T | None:
        if not _NAME.fullmatch(name) or time.monotonic() < self._closed_until:
            return None
        try:
            found = ask(name)
            self._failures = 0
            return found
        except CacheBusy as error:
            self._closed_until = time.monotonic() + _PAUSE
            self._failures += 1
            if name != INFO and self._failures < _MAX_FAILURES and self._is_well():
                self._closed_until = 0.0
            else:
                log.line(f"the cache is not asked for {_PAUSE:g} s: {one_line(error)}")
        except CacheError:
            pass  # only this object is refused, and any user can ask for a strange one
        return None

    def _is_well(self) -> bool:
        """True if the cache answers for nix-cache-info: somebody may have written one object that leads nowhere."""
        try:
            self._cache.get(INFO)
        except CacheBusy:
            return False
        except CacheError:
            pass  # a refusal is an answer, too
        return True


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2])))
