"""A copy of this program that only its maker can change, and how a process is started from it.

For processes of root that outlive set-up: where the job's code runs, neither the action's own directory nor a variable
such as PYTHONPATH decides what they import.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .files import copy_tree, make_directory, set_modes
from .removal import remove_tree

PACKAGE: Final = Path(__file__).parents[1]
# The standard library comes first. What is on the path is an argument: -I has no ear for variables.
_RUN: Final = (
    "import runpy, sys; sys.path += sys.argv.pop(1).split(':'); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def make(directory: Path, packages: Sequence[Path], *, compiled: bool = False) -> tuple[Path, ...]:
    """What sys.path is to name: copies, below a directory, of this package and of directories of `packages`.

    `compiled` is for another user, who must not be able to write what it imports.
    """
    place = directory / _digest(packages)
    if not place.exists():
        remove_tree(directory)  # of another version
        fresh = directory / "fresh"
        make_directory(fresh / "0", 0o755)
        copy_tree(PACKAGE, fresh / "0" / PACKAGE.name)
        for number, packed in enumerate(packages, 1):
            copy_tree(packed, fresh / str(number), compiled=compiled)
        if compiled:
            _compile(fresh / "0", place / "0")
        fresh.rename(place)
    return tuple(place / str(number) for number in range(len(packages) + 1))


def _compile(directory: Path, final: Path) -> None:
    import compileall

    prefix, sys.pycache_prefix = sys.pycache_prefix, None
    try:
        compileall.compile_dir(directory, quiet=2, stripdir=str(directory), prependdir=str(final))
    finally:
        sys.pycache_prefix = prefix
    set_modes(directory)


def command(path: Sequence[Path], module: str, *words: str) -> list[str]:
    """How to run a module of ours in a Python that imports from the standard library and from `path` alone."""
    return [sys.executable, "-I", "-S", "-c", _RUN, os.pathsep.join(map(str, path)), module, *words]


def _digest(packages: Sequence[Path]) -> str:
    """A key of this package's text, and of the names that `environment` gave its packages."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.*")):
        if path.suffix in {".py", ".sh"}:
            digest.update(path.read_bytes())
    for directory in packages:
        digest.update(f"\0{directory}\0{directory.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:20]
