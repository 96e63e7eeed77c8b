"""Installing Nix on this machine, for every user or for one, so that `undo` can remove it.

Run by whoever may write /nix: root, through `root_helper`, or the user that owns it. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from ..errors import RunnerError
from ..nix.install import tarball
from ..nix.install.release import Release
from ..system import probe, users
from ..system.dataclass import dataclass
from ..system.files import set_mode
from ..system.trees import remove_tree
from . import build_users, daemon_unit, journal
from .install_record import InstallRecord, Kind
from .paths import Paths
from .state_directory import locked


@dataclass(frozen=True)
class InstalledNix(journal.Change):
    """The paths that were not there before, such as /nix.

    A store without a Nix may have been there. `store_names` are the names in it, `store_rights` its mode, user and
    group; both None otherwise.
    """

    kind: ClassVar[str] = "nix"
    made: tuple[str, ...] = ()
    store_names: tuple[str, ...] | None = None
    store_rights: tuple[int, int, int] | None = None

    def undo(self, paths: Paths) -> None:
        for path in self.made:
            remove_tree(Path(path))
        store = tarball.PARTS[0]
        if self.store_names is not None and self.store_rights is not None and store.exists():
            for name in set(os.listdir(store)).difference(self.store_names):
                remove_tree(store / name)
            mode, uid, gid = self.store_rights
            set_mode(store, mode, (uid, gid))


def is_complete(paths: Paths, kind: Kind) -> bool:
    """Whether we installed Nix here, and finished."""
    earlier = InstallRecord.load(paths.installed)
    return bool(earlier and earlier.complete and earlier.kind == kind and tarball.PROFILE.exists())


def refuse_links() -> None:
    """Raise RunnerError where /nix is a link: Nix would refuse it, but only after the download."""
    for path in (tarball.ROOT, *tarball.PARTS):
        if path.is_symlink():
            target = os.path.realpath(path)
            raise RunnerError(
                f"{path} is a link to {target}, which Nix refuses; remove the link, then "
                f"`mkdir {path}; mount --bind {target} {path}`"
            )


def install(paths: Paths, kind: Kind, source: Release, environ: Mapping[str, str]) -> None:
    """Install a release. Completes an earlier attempt that was interrupted."""
    with locked(paths):
        if is_complete(paths, kind):
            return
        journal.record(paths, _changes())
        InstallRecord(kind=kind).save(paths.installed)
        if kind == "multi-user":
            build_users.record_missing(paths)
            nix = tarball.multi_user(source, users.wanted(), environ)
            if probe.systemd():
                daemon_unit.make(paths, nix)
        else:
            tarball.single_user(source, environ)
        InstallRecord(kind=kind, complete=True).save(paths.installed)


def _changes() -> InstalledNix:
    """What an installation is about to change."""
    store, var = tarball.PARTS
    made = [path for path in tarball.PARTS if not path.exists()] if tarball.ROOT.exists() else [tarball.ROOT]
    change = InstalledNix(tuple(map(str, made)))
    if store.exists() and not var.exists():
        status = store.stat()
        rights = (status.st_mode & 0o7777, status.st_uid, status.st_gid)
        return InstalledNix(change.made, tuple(sorted(os.listdir(store))), rights)
    return change
