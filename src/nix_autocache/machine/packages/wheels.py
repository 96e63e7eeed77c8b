"""Wheels: only bytes that the lock names are unpacked.

A wheel is read into memory once, where nobody can change it between the check of its hash and its use.
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
_IMPORTABLE: Final = frozenset({"purelib", "platlib"})  # what else there is: scripts, headers, data


def hashes(locks: Iterable[Path]) -> frozenset[str]:
    """The sha256 of every wheel that these locks allow, in hexadecimal digits."""
    return frozenset(found for lock in locks for found in _HASH.findall(lock.read_text(encoding="ascii")))


def unpack(wheel: Path, allowed: frozenset[str], target: Path) -> None:
    """Add what can be imported from a wheel to a directory of ours. Raises RunnerError for one that is not allowed."""
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
    """The names of files in a wheel, and where they belong."""
    for name in archive.namelist():
        path = PurePosixPath(name)
        if name.endswith("/") or path.is_absolute() or ".." in path.parts:
            continue
        if not path.parts[0].endswith(".data"):
            yield name, path
        elif len(path.parts) > 2 and path.parts[1] in _IMPORTABLE:
            yield name, PurePosixPath(*path.parts[2:])
