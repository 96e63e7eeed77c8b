"""unprivileged.py COMMAND…: runs it as in a container of Docker's defaults, see container.py. Runs in a machine.

Numbers are from asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64), the filter's from linux/filter.h.
"""

import ctypes
import os
import platform
import struct
import sys

NUMBERS = {
    "x86_64": {"clone": 56, "clone3": 435, "unshare": 272, "setns": 308, "mount": 165, "pivot_root": 155},
    "aarch64": {"clone": 220, "clone3": 435, "unshare": 97, "setns": 268, "mount": 40, "pivot_root": 41},
}
NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW…
LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE, UNKNOWN = 0x7FFF0000, 0x00050001, 0x00050026  # EPERM and ENOSYS
SET_SECCOMP, MODE_FILTER, NO_NEW_PRIVILEGES, DROP_BOUNDING = 22, 2, 38, 24
SYS_ADMIN = 21


def instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)


def program() -> bytes:
    numbers = NUMBERS[platform.machine()]
    lines = [instruction(LOAD, 0)]
    lines += [instruction(JUMP_EQUAL, numbers["clone3"], 0, 1), instruction(RETURN, UNKNOWN)]
    for name in ("unshare", "setns", "mount", "pivot_root"):
        lines += [instruction(JUMP_EQUAL, numbers[name], 0, 1), instruction(RETURN, REFUSE)]
    lines += [instruction(JUMP_EQUAL, numbers["clone"], 0, 3), instruction(LOAD, 16)]
    lines += [instruction(JUMP_SET, NEW_NAMESPACES, 0, 1), instruction(RETURN, REFUSE)]
    return b"".join([*lines, instruction(RETURN, ALLOW)])


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    text = program()
    code = ctypes.create_string_buffer(text)
    head = struct.pack("HxxxxxxP", len(text) // 8, ctypes.addressof(code))
    first = (DROP_BOUNDING, SYS_ADMIN, 0) if os.geteuid() == 0 else (NO_NEW_PRIVILEGES, 1, 0)
    steps = (first, (SET_SECCOMP, MODE_FILTER, head))
    for step in steps:
        if libc.prctl(*step, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    os.execvp(sys.argv[1], sys.argv[1:])


main()
