"""The process that holds a secret: its memory is closed to other processes and to core dumps before it reads one.

Memory is not locked: what encrypts and sends copies its secrets as it likes, and to lock everything, RLIMIT_MEMLOCK
would have to allow some hundred megabytes. Swap can be read by root only, and from block devices, see `exposure`.
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
