"""Trims an embedded cache to a size: the paths unused for longest go first, and their referrers before them.

A job uses the paths that are in its store at its end, built or fetched. The last use is the narinfo's modification
time: archives keep that, while they and most mounts lose access times. A runner packs and uploads the whole cache again
when one file or directory is newer than its archive (`isFileChanged` in gitlab-runner's file_archiver.go). So nothing
is written while every use is known to a day: once one is older, or the job added something anyway, all are recorded.
No other job may write the directory meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..caches import last_use
from ..nix.store_client import StoreClient
from ..system.dataclass import replace
from .embedded_cache import CachedNarinfo, is_directory, read, realisations

_DAY: Final = 86400.0  # seconds


def trim(directory: Path, limit: int, store: StoreClient, began: float) -> int:
    """Record which paths are used, then remove others until `limit` bytes are left. Returns how many were removed.

    `began` is when the job began, in seconds since 1970.
    """
    if not (is_directory(directory.parent) and is_directory(directory)):  # the archive may have contained a link
        return 0
    narinfos = _with_uses(_valid(directory, store.nix.store_dir), store, began)
    archives = {f"nar/{file.name}": file.lstat().st_size for file in _files(directory / "nar")}
    gone = surplus(narinfos, archives, limit)
    left = {each.path for each in narinfos} - {each.path for each in gone}
    realised = dict(realisations(directory, store.nix.store_dir))
    for file in _files(directory / "realisations"):
        if file not in realised or realised[file].path not in left:
            _remove(file)
    for each in gone:  # referrers first
        _remove(each.file)
    for url in archives.keys() - {each.archive.url for each in narinfos if each.path in left}:
        _remove(directory / url)
    return len(gone)


def surplus(narinfos: Sequence[CachedNarinfo], archives: Mapping[str, int], limit: int) -> list[CachedNarinfo]:
    """The narinfos to remove so that at most `limit` bytes are left, referrers before their references.

    `archives` has the size of each archive by its URL. Narinfos may share one; it goes with the last of them.
    """
    numbers = {each.path: number for number, each in enumerate(narinfos)}
    urls = {url: number for number, url in enumerate(dict.fromkeys(each.archive.url for each in narinfos))}
    stored = last_use.Stored(
        references=[[numbers[ref] for ref in each.info.references if ref in numbers] for each in narinfos],
        used=[each.used for each in narinfos],
        sizes=[each.size for each in narinfos],
        archives=[urls[each.archive.url] for each in narinfos],
        archive_sizes=[archives.get(url, 0) for url in urls],
    )
    return [narinfos[number] for number in last_use.surplus(stored, limit)]


def _with_uses(narinfos: Sequence[CachedNarinfo], store: StoreClient, began: float) -> list[CachedNarinfo]:
    """The narinfos with the uses of this job. Records them if one is older than a day, or the job wrote a narinfo."""
    now = time.time()
    in_store = store.path_infos([each.path for each in narinfos])
    used = [each for each in narinfos if each.path in in_store]
    if any(each.used >= began for each in narinfos) or any(each.used < now - _DAY for each in used):
        for each in used:
            _set_time(each.file, now)
    return [replace(each, used=now) if each.path in in_store else each for each in narinfos]


def _valid(directory: Path, store_dir: str) -> list[CachedNarinfo]:
    """Read the cache. Removes narinfos that are malformed, not ours, in a cycle, or without their archive.

    A time in the future, of a machine whose clock was fast, would be newer than every archive: it becomes now.
    """
    narinfos = list(read(directory, store_dir))
    files = {each.file for each in narinfos}
    for file in _files(directory):
        if file.suffix == ".narinfo" and file not in files:
            _remove(file)
    now = time.time()
    for each in narinfos:
        if each.used > now:
            _set_time(each.file, now)
    return [replace(each, used=min(each.used, now)) for each in narinfos]


def _set_time(file: Path, used: float) -> None:
    """Set the time of the last use, if permissions allow."""
    with suppress(OSError):
        os.utime(file, (used, used), follow_symlinks=False)


def _remove(file: Path) -> None:
    """Remove a file or a link if it exists and permissions allow."""
    with suppress(OSError):
        file.unlink()


def _files(directory: Path) -> list[Path]:
    """The files and links in a directory; none if it is itself a link."""
    if not is_directory(directory):
        return []
    with os.scandir(directory) as entries:
        return [Path(entry.path) for entry in entries if not entry.is_dir(follow_symlinks=False)]
