"""An embedded cache as it lies in a directory that a CI host keeps: which paths are in it, and where.

An archive brought it, which others may have packed: every file is judged by itself, links are not followed, and what
is no narinfo as we write it is not there.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..nix.closure import circular
from ..nix.narinfo import NarFile, fingerprint
from ..nix.realisation import Realisation
from ..nix.store import PathInfo, StorePath, parse_store_path
from . import presence

_LARGEST: Final = 1 << 20  # bytes of a narinfo
_REALISATION: Final = re.compile(r"sha256:[0-9a-f]{64}![0-9A-Za-z+._?=-]+\.doi")


@dataclass(frozen=True, kw_only=True)
class Narinfo:
    """A narinfo in the file `file`, and the archive that it names. `used` is its modification time."""

    file: Path
    info: PathInfo
    archive: NarFile
    size: int
    used: float


def read(directory: Path, store_dir: str) -> Iterator[Narinfo]:
    """The narinfos of a cache whose archives are there. Raises nothing for what others made of it."""
    if not (is_directory(directory) and is_directory(directory / "nar")):
        return
    with os.scandir(directory / "nar") as entries:
        archives = {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(".narinfo")]
    found = list(filter(None, (_read(directory / name, store_dir) for name in names)))
    whole = [each for each in found if each.archive.url.removeprefix("nar/") in archives]
    circles = circular({each.info.path: each.info.references for each in whole})  # Nix 2.26 aborts when it meets one
    yield from (each for each in whole if each.info.path not in circles)


def fingerprints(directories: Iterable[Path], store_dir: str) -> Mapping[StorePath, bytes]:
    """What each path in these caches is said to be: the text that a signature would be over."""
    return {each.info.path: fingerprint(each.info) for place in directories for each in read(place, store_dir)}


def is_directory(path: Path) -> bool:
    """Whether it is one, and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def realisations(directory: Path, store_dir: str) -> Iterator[tuple[Path, Realisation]]:
    """The realisations of a cache, and their files. Raises nothing."""
    place = directory / "realisations"
    if not is_directory(directory) or not is_directory(place):
        return
    with os.scandir(place) as entries:
        names = [entry.name for entry in entries if _REALISATION.fullmatch(entry.name)]
    for name in names:
        with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
            content, _ = _content(place / name)
            value, number = json.loads(content), name.removesuffix(".doi")
            if value["id"] == number:
                path = parse_store_path(f"{store_dir}/{value['outPath']}", store_dir)
                yield place / name, Realisation(path, number.partition("!")[2], number, path)


def _read(file: Path, store_dir: str) -> Narinfo | None:
    try:
        content, found = _content(file)
        info, archive = _parse(content, store_dir)
    except (OSError, ValueError, KeyError):
        return None
    if file.name != f"{info.path.hash_part}.narinfo":
        return None
    return Narinfo(file=file, info=info, archive=archive, size=found.st_size, used=found.st_mtime)


def _content(file: Path) -> tuple[bytes, os.stat_result]:
    """What is in a small file. Raises OSError, and ValueError for what is no such file."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            raise ValueError("no small file")
        return opened.read(_LARGEST), found


def _parse(content: bytes, store_dir: str) -> tuple[PathInfo, NarFile]:
    """Raises ValueError or KeyError for what is no narinfo, or leaves out what we write."""
    fields = presence.fields_of(content)
    info = fields and presence.path_info(fields, parse_store_path(fields["StorePath"][0], store_dir))
    if not fields or not info:
        raise ValueError("no narinfo")
    url, file_hash = fields["URL"][0], presence.sha256_of(fields["FileHash"][0])
    if not presence.OWN_ARCHIVE.fullmatch(url) or not file_hash:
        raise ValueError("no archive of this cache")
    size = int(fields["FileSize"][0])
    return info, NarFile(url, fields["Compression"][0], file_hash.removeprefix("sha256:"), size)
