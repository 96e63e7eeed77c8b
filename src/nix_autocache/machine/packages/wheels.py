"""Unpacking wheels whose hash is in a lock.

A wheel is read into memory first: nobody can change it there between the check of its hash and its use.
Source: the wheel format, packaging.python.org/specifications/binary-distribution-format.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from ...errors import RunnerError

if TYPE_CHECKING:
    from zipfile import ZipFile

_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_IMPORTABLE: Final = frozenset({"purelib", "platlib"})  # the others are scripts, headers, data


def hashes(locks: Iterable[Path]) -> frozenset[str]:
    """The sha256 of every wheel in these locks, in hexadecimal digits."""
    return frozenset(found for lock in locks for found in _HASH.findall(lock.read_text(encoding="ascii")))


def unpack(wheel: Path, allowed: frozenset[str], target: Path) -> None:
    """Add a wheel's modules to `target`. Raises RunnerError if its hash is not among `allowed`."""
    import zipfile

    content = wheel.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found not in allowed:
        raise RunnerError(f"{wheel.name} has sha256 {found}, which is not in the lock; nothing of it was used")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member, path in _importable(archive):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(archive.read(member))


def _importable(archive: ZipFile) -> Iterator[tuple[str, PurePosixPath]]:
    """The names of modules in a wheel, and their paths when installed."""
    for name in archive.namelist():
        path = PurePosixPath(name)
        if name.endswith("/") or path.is_absolute() or ".." in path.parts:
            continue
        if not path.parts[0].endswith(".data"):
            yield name, path
        elif len(path.parts) > 2 and path.parts[1] in _IMPORTABLE:
            yield name, PurePosixPath(*path.parts[2:])
