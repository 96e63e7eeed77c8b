"""What versions without an undo journal recorded, each change in a file of its own, as changes of today.

Delete this when no machine has such files any more. Nothing else reads or writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from .build_users import MadeBuildUsers
from .daemon_unit import MadeDaemonUnit
from .installation import InstalledNix
from .journal import Change
from .kvm import OpenedKvm
from .lockdown import Lockdown
from .managed.provision import ManagedUploader
from .paths import Paths
from .registrations import RegisteredJobs
from .state_directory import MadeDirectories
from .uploader_user import MadeUploaderUser


def changes(paths: Paths) -> Iterator[Change]:
    """The changes, in the order in which they were made. Nothing where the journal is all there is."""
    state = paths.state
    with suppress(FileNotFoundError):
        yield MadeDirectories(tuple((state / "directories-made").read_text(encoding="utf-8").splitlines()))
    if installed := _json(paths.installed):
        yield from _installed(installed)
    if mended := _json(state / "mended.json"):
        yield MadeBuildUsers(tuple(mended["users"]), mended["group"])
    with suppress(FileNotFoundError, ValueError):
        yield OpenedKvm(int((state / "kvm-mode").read_text(), 8))
    if (state / "user-made").exists():
        yield MadeUploaderUser()
    if (state / "hardened.json").exists():
        yield Lockdown()
    if (state / "daemon-unit-made").exists():
        yield MadeDaemonUnit()
    if paths.jobs.exists() or paths.parts.exists():
        yield RegisteredJobs()
    if (state / "provisioned.json").exists():
        yield ManagedUploader()


def _installed(record: dict[str, Any]) -> Iterator[Change]:
    """From the record of an installed Nix. Today's has no `made`: the journal has it."""
    if "made" not in record:
        return
    names, rights = record.get("kept"), record.get("owner")
    yield InstalledNix(
        tuple(record["made"]), None if names is None else tuple(names), None if rights is None else tuple(rights)
    )
    if record["kind"] == "multi-user":
        yield MadeBuildUsers(tuple(record["users"]), record["group"])
        yield MadeDaemonUnit()


def _json(path: Path) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return values
