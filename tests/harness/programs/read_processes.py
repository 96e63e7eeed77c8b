"""Print where processes show a secret, then all that could be read of them: `read_processes.py SECRET [PID…]`."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

secret, found, readable = sys.argv[1].encode(), [], set()


def pieces(pid: str, name: str) -> Iterator[bytes]:
    """The content of a file of a process; of its memory, all that the process may write."""
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
        readable.add(name)
        if name != "mem":
            yield file.read()
            return
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights = line.split()[:2]
            low, high = (int(part, 16) for part in place.split("-"))
            if rights.startswith("rw"):
                os.lseek(file.fileno(), low, os.SEEK_SET)
                yield os.read(file.fileno(), min(high - low, 64 << 20))


for pid in sys.argv[2:] or filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    for name in ("cmdline", "environ", "maps", "mem", "stack", "auxv", "io", "syscall"):
        try:
            if any(secret in piece for piece in pieces(pid, name)):
                found.append(f"{pid}/{name}")
        except OSError:
            continue
    for name in ("cwd", "root", "exe", "fd/0", "fd/1", "fd/3"):
        try:
            os.readlink(f"/proc/{pid}/{name}")
            readable.add(name)
        except OSError:
            continue
print(*found)
print(*sorted(readable))
