"""A process's memory: closed to other processes and core dumps, and given back when it is no longer used.

Call `protect_memory` before the process reads a secret.

Memory is not locked: TLS and HTTP libraries copy secrets, and locking everything needs an RLIMIT_MEMLOCK of some
hundred megabytes. Only root and readers of block devices can read swap, see `trust`.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_M_ARENA_MAX: Final = -8
_M_MMAP_THRESHOLD: Final = -3
_ARENAS: Final = 2
_LARGE: Final = 128 << 10  # bytes; fixed, since glibc raises its own limit when such a block is freed


def protect_memory() -> None:
    """Keep other processes of this user from reading our memory and environment, and the kernel from dumping core."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def keep_small() -> None:
    """Let few threads share each heap, and return large blocks when they are freed. Call it before threads start."""
    with suppress(AttributeError, OSError):  # only glibc has it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Return what is free to the kernel; takes milliseconds."""
    with suppress(AttributeError, OSError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
