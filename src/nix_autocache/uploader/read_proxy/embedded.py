"""The objects of embedded caches, whose narinfos carry no signature: each is signed when this job's Nix asks for it.

For a CI host that keeps the cache among the job's own files, where a secret key would not be safe. Others may have made
these files, so each is judged by itself, and a path is served only if no circle can be reached from it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from ...caches.http_status import INFO
from ...caches.protocol import Content
from ...errors import CacheError
from ...nix.keys import SecretKey
from ...nix.narinfo import fingerprint, render
from ...system.dataclass import dataclass, replace
from ..embedded_cache import CachedNarinfo, is_cache, is_directory, narinfo, open_regular, realisation, size_of
from ..presence import OWN_ARCHIVE

_NARINFO: Final = re.compile(r"([0-9a-z]{32})\.narinfo")
# The number of its directory comes first: an archive is read from where its narinfo is, whatever others are called.
_ARCHIVE: Final = re.compile(rf"([0-9]{{1,3}})/({OWN_ARCHIVE.pattern})")
_REALISATION: Final = re.compile(r"realisations/[^/]+\.doi")
_PIECE: Final = 256 << 10  # bytes

_Judged = tuple[int, int]
"""Of a path that may be served: the number of its directory, and the `_mark` of what was judged."""


class EmbeddedObjects:
    """The objects of these directories, for `ReadServer`; the first that has a path wins.

    Used from many threads at once. Nothing is held but a few numbers for each path that was judged.
    """

    is_empty = True
    together = 1

    def __init__(self, directories: Sequence[Path], key: SecretKey, store_dir: str) -> None:
        self._directories = directories
        self._key = key
        self._store_dir = store_dir
        self._lock = threading.Lock()
        self._judged: dict[str, _Judged | None] = {}  # by hash part; None for what leads into a circle

    def open_now(self, name: str) -> Content | None:
        """None: a file is read when it is asked for, which may take a moment."""

    def open_soon(self, names: Sequence[str]) -> None:
        """Nothing is far away."""

    def open(self, name: str) -> Content | None:
        """None if it is missing, or not as we write it."""
        if found := _ARCHIVE.fullmatch(name):
            return self._archive(int(found[1]), found[2])
        text = self._text(name)
        return Content.of_found(text)

    def exists(self, name: str) -> bool:
        content = self.open(name)
        if content:
            content.close()
        return content is not None

    def tidy(self) -> None:
        """Nothing was fetched ahead: it is near."""

    def rest(self) -> None:
        """Nothing is open."""

    def _text(self, name: str) -> bytes | None:
        if name == INFO:
            return f"StoreDir: {self._store_dir}\nWantMassQuery: 1\nPriority: 41\n".encode()
        if found := _NARINFO.fullmatch(name):
            return self._narinfo(found[1])
        return self._realisation(name) if _REALISATION.fullmatch(name) else None

    def _narinfo(self, hash_part: str) -> bytes | None:
        judged = self._judge(hash_part)
        found = self._in(judged[0], hash_part) if judged else None
        if not judged or not found or _mark(found) != judged[1]:
            return None
        return render(found.info, replace(found.archive, url=f"{judged[0]}/{found.archive.url}"), self._key).encode()

    def _realisation(self, name: str) -> bytes | None:
        for directory in self._directories:
            if is_directory(directory) and is_directory(directory / "realisations"):
                found = realisation(directory / name, self._store_dir)
                if found and self._judge(found.path.hash_part):
                    return found.render(self._key)
        return None

    def _archive(self, number: int, name: str) -> Content | None:
        if number >= len(self._directories) or not is_cache(self._directories[number]):
            return None
        try:
            file, found = open_regular(self._directories[number] / name)
        except (OSError, ValueError):
            return None
        pieces = _pieces(file, found.st_size)
        next(pieces)  # begun, so that `close` reaches its end even if nothing is read
        return Content(found.st_size, pieces)

    def _in(self, number: int, hash_part: str) -> CachedNarinfo | None:
        """The narinfo in one directory, if its archive is whole."""
        directory = self._directories[number]
        found = narinfo(directory / f"{hash_part}.narinfo", self._store_dir) if is_cache(directory) else None
        return found if found and size_of(directory / found.archive.url) == found.archive.file_size else None

    def _judge(self, hash_part: str) -> _Judged | None:
        """None for a path that is missing or leads into a circle of references: Nix 2.26 aborts on one."""
        with self._lock:
            if hash_part not in self._judged:
                self._walk(hash_part)
            return self._judged.get(hash_part)

    def _walk(self, start: str) -> None:
        """Judge the closure of a path, depth first. What is missing is not remembered: the job may push it yet."""
        way: dict[str, _Visit] = {}  # from `start` to where we are
        self._enter(way, start)
        while way:
            visit = next(reversed(way.values()))
            if visit.left:
                reference = visit.left.pop()
                if reference in way or self._judged.get(reference, visit.judged) is None:
                    visit.is_sound = False
                elif reference not in self._judged:
                    self._enter(way, reference)
                continue
            hash_part, _ = way.popitem()
            self._judged[hash_part] = visit.judged if visit.is_sound else None
            for referrer in list(way.values())[-1:] if not visit.is_sound else ():
                referrer.is_sound = False

    def _enter(self, way: dict[str, _Visit], hash_part: str) -> None:
        for number in range(len(self._directories)):
            if found := self._in(number, hash_part):
                references = [each.hash_part for each in found.info.references if each != found.path]
                way[hash_part] = _Visit((number, _mark(found)), references)
                return


@dataclass(slots=True)
class _Visit:
    """A path on the way of a walk, and which of its references are left. It is sound if it leads into no circle."""

    judged: _Judged
    left: list[str]
    is_sound: bool = True


def _mark(found: CachedNarinfo) -> int:
    """A number that changes with what a signature covers: a narinfo that was changed since was not judged."""
    return hash(fingerprint(found.info))


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Raises CacheError if there is less in the file by now."""
    with file:
        yield b""
        while size:
            piece = file.read(min(size, _PIECE))
            if not piece:
                raise CacheError("the archive was shortened")
            size -= len(piece)
            yield piece
