"""The read proxy's process: GET and HEAD of the objects of a binary cache, for this machine's Nix (see `launch`).

It has the uploader's credentials but not the signing key. It answers only users that Nix itself would serve, see
`peers`, and fetches what they will ask for next, see `ahead`.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from ...caches.protocol import Indexed, ObjectCache, PathCache
from ...caches.rotated import RotatedCache
from ...errors import Error, one_line
from ...system import log, memory
from .. import spec_text
from .answers import Objects
from .peers import AllowedUsers
from .reports import Reports
from .server import ReadServer
from .spec import ReadSpec

_POLL: Final = 0.2  # seconds
_TIDY: Final = 1.0  # seconds
_REST: Final = 20  # how often it was empty: by then threads have ended and servers close connections
_GIVE_BACK: Final = frozenset({1, _REST + 1, 90})


def main(uploader: Path, descriptor: int) -> int:
    """Serve on the socket `descriptor` until standard input has ended and the uploader's socket is gone.

    The first line of standard input is the spec; standard output is for `reports`.
    """
    memory.protect_memory()
    memory.keep_small()
    spec = spec_text.parse(ReadSpec, sys.stdin.readline())
    os.environ.update(spec.access.environ)
    objects = _embedded(spec) if spec.directories else _fetched_ahead(spec, uploader.parent)
    server = ReadServer(socket.socket(fileno=descriptor), objects, AllowedUsers(spec.access.nix), spec.address.nonce)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ended = threading.Event()
    threading.Thread(target=_tidy, args=(objects, ended), daemon=True).start()
    sys.stdin.read()
    with suppress(OSError):  # an unreadable directory counts as gone
        while uploader.exists():
            time.sleep(_POLL)
    ended.set()
    return 0


class _Tidied(Objects, Protocol):
    """Objects of which some may be held in memory."""

    def tidy(self) -> None: ...

    def rest(self) -> None: ...

    @property
    def is_empty(self) -> bool: ...


def _embedded(spec: ReadSpec) -> _Tidied:
    from .embedded import EmbeddedObjects

    assert spec.job_key, "it signs them"
    return EmbeddedObjects(spec.directories, spec.job_key, spec.access.nix.store_dir)


def _fetched_ahead(spec: ReadSpec, directory: Path) -> _Tidied:
    """The objects of the cache; what it spools is in `directory`."""
    from .ahead import ObjectsAhead
    from .index import Index
    from .objects import CacheObjects
    from .signatures import Signatures
    from .spool import Spool

    cache, store_dir = spec.access.open(reads_in=directory), spec.access.nix.store_dir
    assert not isinstance(cache, PathCache), "it has objects to read"
    signatures = Signatures(store_dir, spec.trusted, spec.job_key)
    index, reports = Index(signatures), Reports(sys.stdout.fileno())
    if isinstance(cache, Indexed):
        objects = CacheObjects(cache, index.forget, reports.missed, signatures.passed)
        threading.Thread(target=_share, args=(cache, reports), name="known", daemon=True).start()
        spool = Spool(directory, disk=0)
    else:
        objects = CacheObjects(cache, index.forget, reports.missed)
        threading.Thread(target=objects.begin, name="begin", daemon=True).start()
        spool = Spool(directory)
    ahead = ObjectsAhead(objects, spool, Path(store_dir), index, _used(cache, reports))
    index.load_soon(cache, spec.indexes, ahead.begin)
    return ahead


def _used(cache: ObjectCache, reports: Reports) -> Callable[[str, bytes], None]:
    """Reports what Nix is given, and of a throwaway cache what the uploader has to carry over."""
    if not isinstance(cache, RotatedCache):
        return reports.used
    return lambda name, narinfo: reports.used(name, narinfo, carry=not cache.is_here(name))


def _share(cache: Indexed, reports: Reports) -> None:
    """Have the cache look up what it holds before Nix asks, and tell the uploader."""
    try:
        reports.known(cache.known())
    except Error as error:
        log.line(f"Nix finds nothing in the cache at the moment: {one_line(error)}")


def _tidy(ahead: _Tidied, ended: threading.Event) -> None:
    """Drop what was fetched ahead in vain, and give memory back when nothing is left."""
    empty_for = 0
    while not ended.wait(_TIDY):
        ahead.tidy()
        empty_for = empty_for + 1 if ahead.is_empty else 0
        if empty_for == _REST:
            ahead.rest()
        if empty_for in _GIVE_BACK:
            memory.give_back()


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2])))
