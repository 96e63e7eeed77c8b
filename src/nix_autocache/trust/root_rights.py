"""Ways in which the job's user becomes root: a tool that grants it, or rights of this very process. Each is tried."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..system import probe, process

_TIMEOUT: Final = 10.0  # seconds that a program may take to refuse
# Each runs its command as root if a policy lets this user do so without a password.
_TOOLS: Final = {
    "sudo": ("sudo", "-n", "true"),
    "doas": ("doas", "-n", "true"),
    "pkexec": ("pkexec", "--disable-internal-agent", "true"),
    "systemd-run": ("systemd-run", "--quiet", "--no-ask-password", "--collect", "true"),
}


def becomes_root() -> Iterator[str]:
    for name, command in _TOOLS.items():
        if shutil.which(name) and (name != "systemd-run" or probe.systemd()) and _succeeds(command):
            yield f"the job's user becomes root by {name}"
    if probe.sudo_for_some():
        yield "the job's user may run commands as another user by sudo, without a password"
    if _capabilities():
        yield "the job's user has capabilities of root"


def _capabilities() -> bool:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in {"CapPrm", "CapEff", "CapAmb"} and int(value, 16):
                return True
    return False


def _succeeds(command: tuple[str, ...]) -> bool:
    return process.run(command, timeout=_TIMEOUT).status == 0
