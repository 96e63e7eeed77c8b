"""A systemd unit of ours for the nix-daemon, where Nix has none."""

from __future__ import annotations

from typing import ClassVar

from ..nix.daemon import systemd
from ..nix.daemon.supervisor import SOCKET
from ..nix.store import Nix
from ..system.dataclass import dataclass
from ..system.files import make_file
from . import journal
from .paths import Paths


@dataclass(frozen=True)
class MadeDaemonUnit(journal.Change):
    kind: ClassVar[str] = "daemon-unit"

    def undo(self, paths: Paths) -> None:
        systemd.remove()
        SOCKET.unlink(missing_ok=True)  # systemd leaves it, and a client that finds it expects a daemon


def make(paths: Paths, nix: Nix) -> None:
    """Make and enable the unit. The caller holds the lock of `paths`. Raises RunnerError."""
    journal.record(paths, MadeDaemonUnit())
    make_file(paths.daemon_environment, 0o600)
    systemd.write(nix.program("nix-daemon"), paths.daemon_environment)
