"""An embedded cache kept below a size: what was not used for longest goes first, and the cache stays closed.

A path is used by a job when it is in that job's store at its end, built there or fetched. The time of its last use is
its narinfo's modification time, which archives keep; access times are kept neither by archives nor by most mounts.
A runner packs and uploads all of it again when one file is newer than its archive, so that uses are noted once a day,
or when there is something new anyway.
No other job may write the cache meanwhile: this is for a directory that belongs to one.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

from ..nix.store import StorePath
from ..nix.store_client import StoreClient
from .embedded_cache import is_directory, read, realisations

_DAY: Final = 86400.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A narinfo as it lies in the cache. `size` is its own; its archive, in `archives`, may serve others as well."""

    file: Path
    path: StorePath
    archive: str
    references: tuple[StorePath, ...]
    size: int
    used: float


def trim(directory: Path, limit: int, store: StoreClient, began: float) -> int:
    """Note what is used now, and remove the rest, oldest use first, until `limit` bytes are left; how many went.

    `began` is when the job did, in seconds since 1970.
    """
    if not (is_directory(directory.parent) and is_directory(directory)):  # others may have packed a link
        return 0
    infos = _marked(_read(directory, store.nix.store_dir), store, began)
    archives = {f"nar/{file.name}": file.lstat().st_size for file in _files(directory / "nar")}
    gone = surplus(infos, archives, limit)
    left = {kept.path for kept in infos} - {kept.path for kept in gone}
    realised = dict(realisations(directory, store.nix.store_dir))
    for file in _files(directory / "realisations"):
        if file not in realised or realised[file].path not in left:
            _remove(file)
    for kept in gone:  # referrers before what they refer to
        _remove(kept.file)
    for archive in archives.keys() - {kept.archive for kept in set(infos) - set(gone)}:
        _remove(directory / archive)
    return len(gone)


def surplus(infos: Sequence[Kept], archives: dict[str, int], limit: int) -> list[Kept]:
    """What must go so that `limit` bytes are not passed. Whatever goes, its referrers go before it."""
    order = _references_first(infos)
    used = {kept.path: kept.used for kept in order}
    for kept in reversed(order):
        for reference in kept.references:
            if reference in used:
                used[reference] = max(used[reference], used[kept.path])
    position = {kept.path: number for number, kept in enumerate(order)}
    sharing = Counter(kept.archive for kept in infos)
    size = sum(kept.size for kept in infos) + sum(archives.get(archive, 0) for archive in sharing)
    gone = []
    for kept in sorted(order, key=lambda kept: (used[kept.path], -position[kept.path])):
        if size <= limit:
            break
        gone.append(kept)
        sharing[kept.archive] -= 1
        size -= kept.size + (0 if sharing[kept.archive] else archives.get(kept.archive, 0))
    return gone


def _references_first(infos: Iterable[Kept]) -> list[Kept]:
    known = {kept.path: kept for kept in infos}
    graph = {path: [ref for ref in kept.references if ref in known and ref != path] for path, kept in known.items()}
    return [known[path] for path in TopologicalSorter(graph).static_order()]


def _marked(infos: Sequence[Kept], store: StoreClient, began: float) -> list[Kept]:
    now, written = time.time(), any(kept.used >= began for kept in infos)
    used = store.path_infos([kept.path for kept in infos])
    for kept in infos:
        if kept.path in used and (written or kept.used < now - _DAY):
            with suppress(OSError):
                os.utime(kept.file, (now, now), follow_symlinks=False)
    return [replace(kept, used=now) if kept.path in used else kept for kept in infos]


def _read(directory: Path, store_dir: str) -> list[Kept]:
    """What is in the cache. A narinfo that is cut off, not ours, in a circle, or without its archive, is removed."""
    infos = list(read(directory, store_dir))
    whole = {each.file for each in infos}
    for file in _files(directory):
        if file.suffix == ".narinfo" and file not in whole:
            _remove(file)
    now = time.time()
    return [
        Kept(
            file=each.file,
            path=each.info.path,
            archive=each.archive.url,
            references=each.info.references,
            size=each.size,
            used=min(each.used, now),
        )
        for each in infos
    ]


def _remove(file: Path) -> None:
    """Remove a file or a link, if it is there and may be removed."""
    with suppress(OSError):
        file.unlink()


def _files(directory: Path) -> list[Path]:
    """The files and links of a directory that is none itself."""
    if not is_directory(directory):
        return []
    with os.scandir(directory) as entries:
        return [Path(entry.path) for entry in entries if not entry.is_dir(follow_symlinks=False)]
