"""Disks and memory of this machine, and of other processes, that the job's user can read past every permission."""

from __future__ import annotations

import os
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

YAMA: Final = Path(
    "/proc/sys/kernel/yama/ptrace_scope"
)  # 0: all processes of one's user may be read, 1: one's descendants
_MEMORY = re.compile(r"mem|kmem|port|nvme\d+|ng\d+n\d+|sg\d+|bsg/.+|mtd\d+")


def devices() -> list[Path]:
    """Devices of disks and memory that this user can read or write."""
    found = []
    for directory, _, names in os.walk("/dev"):
        for path in (Path(directory, name) for name in names):
            with suppress(OSError):
                mode = path.lstat().st_mode
                raw = stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and _MEMORY.fullmatch(str(path.relative_to("/dev"))))
                if raw and (os.access(path, os.R_OK) or os.access(path, os.W_OK)):
                    found.append(path)
    return found


def memory_is_open(*, hardened: bool) -> bool:
    """True if a process may read the memory of its user's other processes. With Yama, hardening ends that."""
    if not YAMA.exists():
        return sys.platform == "linux"
    return hardened and YAMA.read_text().strip() == "0"
