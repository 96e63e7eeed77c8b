"""Closes a process's memory to other processes and to core dumps. Call it before the process reads a secret.

Memory is not locked: TLS and HTTP libraries copy secrets, and locking everything needs an RLIMIT_MEMLOCK of some
hundred megabytes. Only root and readers of block devices can read swap, see `trust`.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def protect_memory() -> None:
    """Keep other processes of this user from reading our memory and environment, and the kernel from dumping core."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
