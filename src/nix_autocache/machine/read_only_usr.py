"""/usr mounted read-only, and writable again: everything below it at once, however much others may write there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from ..system import process

USR: Final = Path("/usr")


def mount() -> None:
    """Cover it with a read-only bind mount of itself."""
    for options in (["--rbind", str(USR)], ["-o", "remount,bind,ro"]):
        process.run(["mount", *options, str(USR)])


def unmount(directory: str) -> None:
    """Remove our mount, if the last mount there is still read-only.

    Where somebody has mounted something below it since, it becomes writable and stays: their mount would go with it.
    """
    mounts = _mounts()
    options = [words[5].split(",") for words in mounts if words[4] == directory]
    if not options or "ro" not in options[-1]:
        return
    below = [words[4] for words in mounts if words[4].startswith(f"{directory}/")]
    if all(below.count(path) > 1 for path in below):  # one in our mount, and one beneath it
        process.run(["umount", "--lazy", directory])
    else:
        process.run(["mount", "-o", "remount,bind,rw", directory])


def boot() -> str:
    """This boot's id: a mount ends with its boot, and the next boot may have another one there."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _mounts() -> list[list[str]]:
    """Source: proc_pid_mountinfo(5)."""
    return [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
