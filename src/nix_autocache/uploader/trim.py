"""An embedded cache kept below a size: what was not used for longest goes first, and the cache stays closed.

A path is used by a job when it is in that job's store at its end, built there or fetched. The time of its last use is
its narinfo's modification time, which archives keep; access times are kept neither by archives nor by most mounts.
No other job may write the cache meanwhile: this is for a directory that belongs to one.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path

from ..nix.store import Store, StorePath
from . import narinfo


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A narinfo as it lies in the cache. `size` is its own; its archive, in `archives`, may serve others as well."""

    file: Path
    path: StorePath
    archive: str
    references: tuple[StorePath, ...]
    size: int
    used: float


def trim(directory: Path, limit: int, store: Store) -> int:
    """Note what is used now, and remove the rest, oldest use first, until `limit` bytes are left; how many went."""
    infos = _marked(list(_read(directory)), store)
    archives = {f"nar/{file.name}": file.stat().st_size for file in _files(directory / "nar")}
    gone = surplus(infos, archives, limit)
    for kept in gone:  # referrers before what they refer to
        kept.file.unlink()
    for archive in archives.keys() - {kept.archive for kept in set(infos) - set(gone)}:
        (directory / archive).unlink()
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


def _marked(infos: Sequence[Kept], store: Store) -> list[Kept]:
    now = time.time()
    used = store.path_infos([kept.path for kept in infos])
    for kept in infos:
        if kept.path in used:
            os.utime(kept.file, (now, now))
    return [replace(kept, used=now) if kept.path in used else kept for kept in infos]


def _read(directory: Path) -> Iterator[Kept]:
    for file in _files(directory):
        if file.suffix != ".narinfo":
            continue
        fields, found = narinfo.parse(file.read_text(encoding="utf-8")), file.stat()
        if not {"StorePath", "URL", "References"} <= fields.keys():  # an archive that was cut off, or not ours
            file.unlink()
            continue
        path = StorePath(fields["StorePath"][0])
        store_dir = path.rpartition("/")[0]
        yield Kept(
            file=file,
            path=path,
            archive=fields["URL"][0],
            references=tuple(StorePath(f"{store_dir}/{name}") for name in fields["References"][0].split()),
            size=found.st_size,
            used=found.st_mtime,
        )


def _files(directory: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from (file for file in directory.iterdir() if file.is_file())
