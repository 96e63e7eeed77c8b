"""The directory where the harness keeps what is slow to make: roots, release tarballs, wheels.

Everything in it can be deleted at any time. Entries appear whole: they are made beside their final name
under a lock and renamed, so that two callers never make the same one, nor see half of it.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def directory() -> Path:
    """`$NIX_AUTOCACHE_HARNESS`, else `nix-autocache-ground` in the user's cache directory."""
    named = os.environ.get("NIX_AUTOCACHE_HARNESS")
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(caches) / "nix-autocache-ground"


def key(*parts: str | bytes) -> str:
    """A short name for a content: equal parts give equal keys."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def entry(name: str, make: Callable[[Path], None]) -> Path:
    """The path of the entry `name`; `make` gets an empty directory to fill when there is none yet."""
    path = directory() / name
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            return path
        half = path.with_name(f".{path.name}.half")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir()
        make(half)
        half.rename(path)
    return path


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
