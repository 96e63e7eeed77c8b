"""A machine whose process 1 is systemd, as on a hosted runner, on a root of its own with what such a machine has."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.harness import cache, roots
from tests.harness.machine import Machine
from tests.harness.roots import RECENT
from tests.harness.waiting import wait_for

SCRIPT = Path(__file__).with_name("systemd.sh")
PACKAGES = (*roots.PACKAGES, "dbus", "systemd", "systemd-sysv", "zsh")
GROUPS = Path("/sys/fs/cgroup")
UP = {"running", "degraded"}


def root() -> Path:
    """Debian 13 with systemd, made by mmdebstrap (30 s) when the harness's cache lacks it."""
    name = f"root-systemd-{RECENT.suite}-{cache.key(RECENT.suite, *PACKAGES)}"
    return cache.entry(name, lambda path: roots.bootstrap(RECENT.suite, path, PACKAGES))


@dataclass
class SystemdMachine(Machine):
    """Entered when systemd says that it is up."""

    init_script: Path | None = SCRIPT

    def _boot(self) -> None:
        super()._boot()
        wait_for(self._is_up, "systemd", 30)

    def close(self) -> None:
        super().close()
        for space in (GROUPS / self._work.name, GROUPS / "unified" / self._work.name):
            for directory, _, _ in os.walk(space, topdown=False):
                with suppress(OSError):  # a cgroup is only a directory
                    Path(directory).rmdir()

    def _is_up(self) -> bool:
        return self.run(["systemctl", "is-system-running"], check=False).stdout.strip() in UP
