"""Unpacks a release tarball as Nix wants its store: read-only, with times of 1970-01-01 00:00:01, owned by this user.

Decompression is the slow part and has its own thread or process; files are written meanwhile. Standard library only.
Use it only on a tarball whose hash was checked: its file names are trusted.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from ...errors import RunnerError
from ...system import process

_PIECE: Final = 1 << 20
_EPOCH: Final = (1_000_000_000, 1_000_000_000)  # nanoseconds: the time of every file in a store
_XZ: Final = b"\xfd7zXZ"
_FORMATS: Final = ((_XZ, lzma.open), (b"\x1f\x8b", gzip.open), (b"BZh", bz2.open))


def unpack(tarball: Path, directory: Path) -> None:
    """Raises RunnerError if it is not a tarball."""
    directories: list[str] = []
    try:
        with (
            _decompressed(tarball) as stream,
            tarfile.open(fileobj=stream, mode="r|", bufsize=_PIECE) as archive,
        ):
            archive.copybufsize = _PIECE  # type: ignore[attr-defined]
            for member in archive:
                _write(archive, member, os.path.join(directory, member.name), directories)
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise RunnerError(f"the Nix release cannot be unpacked: {error}") from None
    for path in reversed(directories):
        os.utime(path, ns=_EPOCH)


def seal(directory: Path) -> None:
    """Make a tree's directories read-only, once it is in its final place: read-only directories cannot be moved."""
    for current, _, _ in os.walk(directory):
        os.chmod(current, 0o555)  # noqa: S103 - as in every store
        os.utime(current, ns=_EPOCH)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, directories: list[str]) -> None:
    if member.isdir():
        os.makedirs(path, 0o755, exist_ok=True)
        directories.append(path)
    elif member.issym():
        os.symlink(member.linkname, path)
        os.utime(path, ns=_EPOCH, follow_symlinks=False)
    elif member.islnk():
        os.link(os.path.join(path[: -len(member.name)], member.linkname), path)
    elif member.isreg():
        archive.makefile(member, path)
        os.chmod(path, 0o555 if member.mode & 0o111 else 0o444)
        os.utime(path, ns=_EPOCH)


@contextmanager
def _decompressed(tarball: Path) -> Iterator[IO[bytes]]:
    """The decompressed tar, as a pipe, which ends early if the tarball is broken.

    The program xz uses several threads, Python's library only one.
    """
    if tarball.open("rb").read(len(_XZ)) == _XZ and (xz := shutil.which("xz")):
        words = [xz, "-dc", "-T0", str(tarball)]
        with process.start(words, output=process.PIPE, errors=process.NOTHING, bufsize=0, pipesize=_PIECE) as begun:
            assert begun.stdout, "it is a pipe"
            yield begun.stdout
        return
    reading, writing = os.pipe()
    thread = threading.Thread(target=_decompress, args=(tarball, writing), daemon=True)
    thread.start()
    try:
        with open(reading, "rb", buffering=0) as stream:
            yield stream
    finally:
        thread.join()


def _decompress(tarball: Path, writing: int) -> None:
    with suppress(OSError, EOFError, lzma.LZMAError), open(writing, "wb", buffering=0) as pipe:
        magic = tarball.open("rb").read(8)
        opener = next((opener for start, opener in _FORMATS if magic.startswith(start)), open)
        with opener(tarball, "rb") as source:
            shutil.copyfileobj(source, pipe, _PIECE)
