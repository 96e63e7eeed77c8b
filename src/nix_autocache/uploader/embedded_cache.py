"""Reads an embedded cache: the directory with a binary cache that a CI host keeps from job to job.

The host unpacked it from an archive that others may have made. So each file is checked by itself, links are not
followed, and a narinfo that is not as we write it counts as missing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from ..nix.closure import circular
from ..nix.narinfo import NarFile, fingerprint
from ..nix.realisation import Realisation
from ..nix.realisation import parse as parse_realisation
from ..nix.store import PathInfo, StorePath, parse_store_path
from ..system.dataclass import dataclass
from . import presence

_LARGEST: Final = 1 << 20  # bytes of a narinfo
_REALISATION: Final = ".doi"


@dataclass(frozen=True, kw_only=True)
class CachedNarinfo:
    """A narinfo in `file`, and the archive that it names. `size` is that of the file, `used` its modification time."""

    file: Path
    info: PathInfo
    archive: NarFile
    size: int
    used: float

    @property
    def path(self) -> StorePath:
        return self.info.path


def read(directory: Path, store_dir: str) -> Iterator[CachedNarinfo]:
    """The narinfos whose archives are whole. Files that others made are skipped, never an error."""
    if not is_cache(directory):
        return
    with os.scandir(directory / "nar") as entries:
        sizes = {entry.name: size_of(Path(entry.path)) for entry in entries}
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(".narinfo")]
    found = list(filter(None, (narinfo(directory / name, store_dir) for name in names)))
    whole = [each for each in found if sizes.get(each.archive.url.removeprefix("nar/")) == each.archive.file_size]
    circles = circular({each.path: each.info.references for each in whole})  # Nix 2.26 aborts on a cycle
    yield from (each for each in whole if each.path not in circles)


def fingerprints(directories: Iterable[Path], store_dir: str) -> Mapping[StorePath, bytes]:
    """The fingerprint of each path in these caches, which is the text that signatures cover."""
    return {each.path: fingerprint(each.info) for directory in directories for each in read(directory, store_dir)}


def is_cache(directory: Path) -> bool:
    """True for a directory with one of archives in it, neither of them a link."""
    return is_directory(directory) and is_directory(directory / "nar")


def is_directory(path: Path) -> bool:
    """True for a directory, False for a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def size_of(file: Path) -> int | None:
    """The size of a regular file, in bytes; None for anything else, links included."""
    try:
        found = file.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def open_regular(file: Path) -> tuple[IO[bytes], os.stat_result]:
    """Open a regular file, without following a link or waiting at a FIFO. Raises OSError, ValueError for others."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise ValueError("not a regular file")
    return open(descriptor, "rb"), found


def realisations(directory: Path, store_dir: str) -> Iterator[tuple[Path, Realisation]]:
    """The realisations of a cache, with their files. Malformed ones are skipped."""
    folder = directory / "realisations"
    if not is_directory(directory) or not is_directory(folder):
        return
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        if read := realisation(folder / name, store_dir):
            yield folder / name, read


def realisation(file: Path, store_dir: str) -> Realisation | None:
    """The realisation in a file; None if it is malformed or missing, or another one than the file's name says."""
    if not file.name.endswith(_REALISATION):
        return None
    with suppress(OSError, ValueError):
        content, _ = _content(file)
        return parse_realisation(content, file.name.removesuffix(_REALISATION), store_dir)
    return None


def narinfo(file: Path, store_dir: str) -> CachedNarinfo | None:
    """The narinfo in a file; None if it is missing or not as we write it, or is another one than its name says."""
    try:
        content, found = _content(file)
        info, archive = _parse(content, store_dir)
    except (OSError, ValueError, KeyError):
        return None
    if file.name != f"{info.path.hash_part}.narinfo":
        return None
    return CachedNarinfo(file=file, info=info, archive=archive, size=found.st_size, used=found.st_mtime)


def _content(file: Path) -> tuple[bytes, os.stat_result]:
    """Read a small regular file. Raises OSError, or ValueError for anything else."""
    opened, found = open_regular(file)
    with opened:
        if found.st_size > _LARGEST:
            raise ValueError("too large")
        return opened.read(_LARGEST), found


def _parse(content: bytes, store_dir: str) -> tuple[PathInfo, NarFile]:
    """Raises ValueError or KeyError for content that is no narinfo, or lacks a field that we write."""
    fields = presence.fields_of(content)
    info = fields and presence.path_info(fields, parse_store_path(fields["StorePath"][0], store_dir))
    if not fields or not info:
        raise ValueError("no narinfo")
    url, file_hash = fields["URL"][0], presence.sha256_of(fields["FileHash"][0])
    if not presence.OWN_ARCHIVE.fullmatch(url) or not file_hash:
        raise ValueError("no archive of this cache")
    size = int(fields["FileSize"][0])
    return info, NarFile(url, fields["Compression"][0], file_hash.removeprefix("sha256:"), size)
