"""The nix-daemon on macOS, a service of launchd. The tests have a stand-in for launchctl; no test runs on macOS."""

from __future__ import annotations

from typing import Final

from ...errors import RunnerError
from ...system.process import run

_SERVICES: Final = ("system/org.nixos.nix-daemon", "system/systems.determinate.nix-daemon")
_UNKNOWN: Final = "Could not find service"


def restart() -> None:
    """Restart the daemon of either installer, or start it. Needs root. Raises RunnerError.

    Without `-k`, launchctl does nothing to a service that runs.
    """
    for service in _SERVICES:
        done = run(["launchctl", "kickstart", "-k", service])
        if done.status == 0:
            return
        if _UNKNOWN not in done.error:
            raise RunnerError(f"launchctl cannot restart {service}: {done.reason}; restart it, then try again")
    raise RunnerError(f"launchd has no nix-daemon, neither {' nor '.join(_SERVICES)}; install Nix with its daemon")
