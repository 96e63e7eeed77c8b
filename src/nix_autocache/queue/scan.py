"""New builds found by comparing the store before and after a job: for a user whose hook the daemon does not run.

Call `snapshot` at the beginning and `new_builds` at the end. It finds every build of that time, of other users too.
Paths that were only copied into the store, such as sources, have no deriver and are left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..nix.store import Nix, PathInfo, StorePath, parse_store_path
from ..nix.store_client import StoreClient
from ..system.files import write_atomically


def snapshot(nix: Nix, record: Path) -> None:
    """Write the store's names to `record`. If this user may not list the store, `new_builds` finds nothing."""
    try:
        names = _names(nix)
    except OSError:
        record.unlink(missing_ok=True)
        return
    write_atomically(record, b"\n".join(map(os.fsencode, names)), 0o644)


def new_builds(nix: Nix, record: Path) -> list[PathInfo]:
    """The valid paths with a deriver that are not in the snapshot."""
    try:
        before = set(os.fsdecode(record.read_bytes()).split("\n"))
    except FileNotFoundError:
        return []
    new = [path for path in _paths(nix) if path.base not in before]
    if not new:
        return []
    with StoreClient(nix) as store:
        return [info for info in store.path_infos(new).values() if info.deriver]


def changed_since(nix: Nix, when: int) -> list[StorePath]:
    """The paths whose files were made, moved or linked since that time, in seconds since 1970. Raises OSError."""
    found = []
    with os.scandir(nix.store_dir) as entries:
        for entry in entries:
            with suppress(OSError, ValueError):  # it has just gone, or it is no path
                if entry.stat(follow_symlinks=False).st_ctime >= when and not entry.name.endswith(".drv"):
                    found.append(parse_store_path(entry.path, nix.store_dir))
    return found


def _names(nix: Nix) -> list[str]:
    return [name for name in os.listdir(nix.store_dir) if not name.endswith((".drv", ".lock")) and name[0] != "."]


def _paths(nix: Nix) -> Iterator[StorePath]:
    for name in _names(nix):
        try:
            yield parse_store_path(f"{nix.store_dir}/{name}", nix.store_dir)
        except ValueError:  # other names in the store, such as .links
            continue
