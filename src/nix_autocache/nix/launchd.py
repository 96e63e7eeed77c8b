"""The nix-daemon on macOS, which launchd keeps. Kept apart: there is no such machine among those of the tests."""

from __future__ import annotations

import subprocess
from typing import Final

from ..errors import RunnerError

_SERVICES: Final = ("system/org.nixos.nix-daemon", "system/systems.determinate.nix-daemon")


def restart() -> None:
    """Start the daemon anew. Raises RunnerError."""
    said = ""
    for service in _SERVICES:
        command = ["launchctl", "kickstart", "-k", service]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode == 0:
            return
        said = said or done.stderr.strip()
    raise RunnerError(f"launchctl cannot restart the nix-daemon: {said or 'it said nothing'}")
