"""The nix-daemon on macOS, which launchd keeps. Kept apart: there is no such machine among those of the tests."""

from __future__ import annotations

from typing import Final

from ...errors import RunnerError
from ...system.process import run

_SERVICES: Final = ("system/org.nixos.nix-daemon", "system/systems.determinate.nix-daemon")


def restart() -> None:
    """Start the daemon anew. Raises RunnerError."""
    said = ""
    for service in _SERVICES:
        command = ["launchctl", "kickstart", "-k", service]
        done = run(command)
        if done.status == 0:
            return
        said = said or done.error.strip()
    raise RunnerError(f"launchctl cannot restart the nix-daemon: {said or 'it said nothing'}")
