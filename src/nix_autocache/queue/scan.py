"""What is new in the store, where no hook can be had: for a user that the daemon does not trust.

`snapshot` at the beginning of a job, `new_builds` at its end. What is found is what was built in the meantime, by
whoever built it; what was only copied there, as sources are, has no deriver and is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..nix.store import Nix, PathInfo, StorePath, parse_store_path
from ..nix.store_client import StoreClient
from ..system.files import write_atomically


def snapshot(nix: Nix, note: Path) -> None:
    """Note what is in the store. Where this user may not list it, nothing counts as new later."""
    try:
        names = _names(nix)
    except OSError:
        note.unlink(missing_ok=True)
        return
    write_atomically(note, b"\n".join(map(os.fsencode, names)), 0o644)


def new_builds(nix: Nix, note: Path) -> list[PathInfo]:
    """The valid paths that were not there at the snapshot and that a derivation made."""
    try:
        before = set(os.fsdecode(note.read_bytes()).split("\n"))
    except FileNotFoundError:
        return []
    new = [path for path in _paths(nix) if path.base not in before]
    if not new:
        return []
    with StoreClient(nix) as store:
        return [info for info in store.path_infos(new).values() if info.deriver]


def _names(nix: Nix) -> list[str]:
    return [name for name in os.listdir(nix.store_dir) if not name.endswith((".drv", ".lock")) and name[0] != "."]


def _paths(nix: Nix) -> Iterator[StorePath]:
    for name in _names(nix):
        try:
            yield parse_store_path(f"{nix.store_dir}/{name}", nix.store_dir)
        except ValueError:  # what Nix leaves there besides store paths, as .links
            continue
