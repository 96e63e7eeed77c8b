"""The nix-daemon on macOS, a service of launchd. The tests have no such machine."""

from __future__ import annotations

from typing import Final

from ...errors import RunnerError
from ...system.process import run

_SERVICES: Final = ("system/org.nixos.nix-daemon", "system/systems.determinate.nix-daemon")


def restart() -> None:
    """Raises RunnerError."""
    said = ""
    for service in _SERVICES:
        command = ["launchctl", "kickstart", "-k", service]
        done = run(command)
        if done.status == 0:
            return
        said = said or done.error.strip()
    raise RunnerError(f"launchctl cannot restart the nix-daemon: {said or 'it said nothing'}")
