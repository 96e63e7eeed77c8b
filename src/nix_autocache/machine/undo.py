"""Bring the machine back to what it was: jobs, configuration, units, users, and the Nix that we installed.

Run by whoever may write /nix: root, by way of `root_helper`, or the user that owns it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..nix.daemon import systemd
from ..nix.install import tarball as installer
from ..system import users
from ..system.files import set_mode
from ..system.trees import remove_tree
from .install_record import InstallRecord
from .paths import Paths


def uninstall(places: Paths, *, daemon: bool) -> None:
    """Bring the machine back: jobs, configuration, units, users, and the Nix that we installed."""
    from . import lockdown, registrations, uploader_user  # of which an installation has no need
    from .managed import provision as provisioning

    if not places.state.exists():
        return
    ours = InstallRecord.load(places.installed)
    if os.geteuid() == 0:
        provisioning.remove(places)
    registrations.clear(places, daemon=daemon and ours is None)
    with places.lock():
        mended, around = registrations.mended(places), places.made()
        if ours:
            if ours.kind == "multi-user":
                systemd.remove()
            _remove(ours)
        for note in filter(None, (ours, mended)):
            users.remove(note.users, group=users.GROUP if note.group else "")
        registrations.close_kvm(places)
        lockdown.reopen(places)
        uploader_user.forget(places)
        remove_tree(places.state)
    for directory in around:
        with suppress(OSError):  # somebody else uses it by now
            directory.rmdir()


def _remove(ours: InstallRecord) -> None:
    for path in map(Path, ours.made):
        remove_tree(path)
    store = installer.PARTS[0]
    if ours.kept is not None and ours.owner is not None:
        for name in set(os.listdir(store)).difference(ours.kept):
            remove_tree(store / name)
        mode, uid, gid = ours.owner
        set_mode(store, mode, (uid, gid))
