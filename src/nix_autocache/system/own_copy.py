"""A copy of this program that only its maker can change, and the command that runs a module from it.

For processes of root that outlive set-up: neither the action's directory nor a variable such as PYTHONPATH decides
what they import while the job's code runs.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .files import make_directory
from .trees import copy_tree, remove_tree, set_modes
from .version import PACKAGE

# The standard library comes first. The path is an argument, because -I ignores variables.
_RUN: Final = (
    "import runpy, sys; sys.path += sys.argv.pop(1).split(':'); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def make(directory: Path, packages: Sequence[Path], *, compiled: bool = False) -> tuple[Path, ...]:
    """Copy this package and the directories of `packages` below a directory; return the entries for sys.path.

    `compiled` adds bytecode, for a user who must not be able to write what it imports.
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
    """The command for a module of ours, in a Python that imports only from the standard library and `path`."""
    return [sys.executable, "-I", "-S", "-c", _RUN, os.pathsep.join(map(str, path)), module, *words]


def _digest(packages: Sequence[Path]) -> str:
    """A hash of this package's files, and of the names and times of the other packages."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.*")):
        if path.suffix in {".py", ".sh", ".txt"}:
            digest.update(path.read_bytes())
    for directory in packages:
        digest.update(f"\0{directory}\0{directory.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:20]
