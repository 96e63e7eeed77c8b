"""Where things lie on this machine: our state, a job's part of it, Nix's configuration, the embedded cache.

Root's state is in /var/lib, since a daemon under PrivateTmp must see the hook and the queue.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .queue import Queue

GC_ROOTS: Final = Path("/nix/var/nix/gcroots/nix-autocache")


@dataclass(frozen=True, kw_only=True)
class JobPlace:
    """What one job on this machine has for itself."""

    directory: Path
    roots: Path

    @property
    def queue(self) -> Queue:
        return Queue(self.directory / "queue", self.roots)

    @property
    def setup(self) -> Path:
        """What `setup` decided, as JSON."""
        return self.directory / "setup.json"


@dataclass(frozen=True, kw_only=True)
class Places:
    """The directories of this machine, for the user that runs this."""

    state: Path
    nix_conf: Path
    user_nix_conf: Path
    data: Path

    @property
    def jobs(self) -> Path:
        return self.state / "jobs"

    @property
    def hook(self) -> Path:
        return self.state / "hook"

    @property
    def installed(self) -> Path:
        """There when we installed Nix; names what was made."""
        return self.state / "installed.json"

    def job(self, name: str) -> JobPlace:
        return JobPlace(directory=self.jobs / name, roots=GC_ROOTS / name)


def places(environ: Mapping[str, str]) -> Places:
    """The places for this user: the machine's for root, those of the XDG base directories for others."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    state = Path(environ.get("XDG_STATE_HOME") or home / ".local/state")
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
    root = os.geteuid() == 0
    return Places(
        state=Path("/var/lib/nix-autocache") if root else state / "nix-autocache",
        nix_conf=Path(environ.get("NIX_CONF_DIR") or "/etc/nix") if root else config / "nix",
        user_nix_conf=config / "nix",
        data=data / "nix-autocache",
    )
