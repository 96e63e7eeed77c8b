"""Nix put on this machine and taken away again, with a note of what was made; for the machine or for one user.

Run by whoever may write /nix: root, by way of `privileged`, or the user that owns it. Standard library only.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from ..errors import RunnerError
from ..nix.daemon import systemd
from ..nix.install import tarball as installer
from ..nix.install.release import Release
from ..nix.store import Nix
from ..system import probe, users
from ..system.files import make_file
from .install_record import InstallRecord, Kind
from .paths import Paths


def is_complete(places: Paths, kind: Kind) -> bool:
    """Whether we installed Nix here, to the end."""
    earlier = InstallRecord.load(places.installed)
    return bool(earlier and earlier.complete and earlier.kind == kind and installer.PROFILE.exists())


def refuse_links() -> None:
    """Raises RunnerError where /nix is a link: Nix itself would refuse it, when all is downloaded and unpacked."""
    for path in (installer.ROOT, *installer.PARTS):
        if path.is_symlink():
            target = os.path.realpath(path)
            raise RunnerError(
                f"{path} is a link to {target}, which Nix refuses; remove the link, then "
                f"`mkdir {path}; mount --bind {target} {path}`"
            )


def install(places: Paths, kind: Kind, source: Release, environ: Mapping[str, str]) -> None:
    """Install a release as `kind` says, as far as an earlier attempt has not done it."""
    with places.lock():
        if is_complete(places, kind):
            return
        note = _note(kind).also(InstallRecord.load(places.installed))
        note.save(places.installed)
        if kind == "multi-user":
            nix = installer.multi_user(source, users.wanted(), environ)
            if probe.systemd():
                _make_units(nix, places)
        else:
            installer.single_user(source, environ)
        dataclasses.replace(note, complete=True).save(places.installed)


def _note(kind: Kind) -> InstallRecord:
    root, (store, var) = installer.ROOT, installer.PARTS
    made = [path for path in installer.PARTS if not path.exists()] if root.exists() else [root]
    note = InstallRecord(kind=kind, made=tuple(map(str, made)))
    if store.exists() and not var.exists():
        status = store.stat()
        owner = (status.st_mode & 0o7777, status.st_uid, status.st_gid)
        note = dataclasses.replace(note, kept=tuple(os.listdir(store)), owner=owner)
    if kind == "single-user":
        return note
    missing = users.missing(users.wanted())
    return dataclasses.replace(note, users=missing, group=not users.group_exists())


def _make_units(nix: Nix, places: Paths) -> None:
    make_file(places.daemon_environment, 0o600)
    systemd.write(nix.program("nix-daemon"), places.daemon_environment)
