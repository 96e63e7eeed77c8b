"""Restore this machine: undo every change in the journal, from the last to the first.

Run by whoever may write /nix: root, through `root_helper`, or the user that owns it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import before_journal, journal, registrations
from .build_users import MadeBuildUsers
from .daemon_unit import MadeDaemonUnit
from .installation import InstalledNix
from .kvm import OpenedKvm
from .lockdown import Lockdown
from .managed.provision import ManagedUploader
from .paths import Paths
from .registrations import RegisteredJobs
from .state_directory import MadeDirectories, locked
from .uploader_user import MadeUploaderUser

KINDS: Final[Mapping[str, type[journal.Change]]] = {
    change.kind: change
    for change in (
        *(MadeDirectories, InstalledNix, MadeBuildUsers, MadeDaemonUnit, OpenedKvm),
        *(MadeUploaderUser, Lockdown, RegisteredJobs, ManagedUploader),
    )
}


def undo(paths: Paths) -> None:
    """Undo all that was done in `paths`, and remove them. Raises RunnerError if a newer version recorded a change."""
    if not paths.state.exists():
        return
    with locked(paths):
        recorded = journal.read(paths, KINDS)
        changes = [*(each for each in before_journal.changes(paths) if each not in recorded), *recorded]
        changes.sort(key=lambda change: not isinstance(change, MadeDirectories))  # first, since our records are there
        registrations.stop_uploaders(paths)
        for change in reversed(changes):
            change.undo(paths)
