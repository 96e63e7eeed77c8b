"""The directories of this machine's jobs: made, removed, and swept when their job was killed. Standard library only."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..system import process
from ..system.files import Owner, close_to_others, make_directory, set_mode
from ..system.trees import remove_tree
from ..uploader.process.client import UploaderClient
from .managed_machine import JOB
from .paths import JobPaths, Paths

_STALE: Final = 24 * 3600.0  # seconds after which a job without an uploader has ended
_UNFINISHED: Final = 600.0  # seconds that no set-up takes


def make(paths: Paths, job: JobPaths, *, user: Owner, uploader: Owner, queue: bool) -> None:
    """Make a job's directories: `steps` for its user, the others for its uploader, who may be another user."""
    make_directory(job.steps, 0o755)
    close_to_others(paths.jobs)
    directories = [job.directory]
    if queue:
        job.queue.create()
        directories += [job.queue.directory, job.queue.new, job.queue.failed]
        # The hook and the uploader write there. An untrusted user or a container may not be able to make it.
        with suppress(OSError):
            make_directory(job.roots, 0o755)
            set_mode(job.roots, 0o755, uploader)
    set_mode(job.steps, 0o755, user)
    for directory in directories:
        set_mode(directory, 0o755, uploader)


def remove(job: JobPaths) -> None:
    remove_tree(job.roots)
    remove_tree(job.directory)


def names(paths: Paths) -> list[str]:
    with suppress(FileNotFoundError):
        return os.listdir(paths.jobs)
    return []


def drop_stale(paths: Paths, current: str, now: float) -> None:
    """Remove the jobs that were killed, but for `current`: those without an uploader that are from before this boot,
    a day old, or were never completely set up."""
    for name in names(paths):
        job = paths.job(name)
        oldest = max(now - (_STALE if job.setup.exists() else _UNFINISHED), boot_time())
        if name in {current, JOB} or _modified(job.directory) >= oldest:
            continue
        if not UploaderClient(job.directory).status():
            (paths.parts / name).unlink(missing_ok=True)
            remove(job)


def _modified(directory: Path) -> float:
    with suppress(OSError):
        return directory.stat().st_mtime
    return 0.0


def boot_time() -> float:
    """In seconds since 1970; 0 if it is not known."""
    if sys.platform == "darwin":
        said = process.run([process.find_program("sysctl") or "sysctl", "-n", "kern.boottime"]).output
        found = re.match(r"\{ sec = (\d+)", said)  # { sec = 1764167000, usec = 81 } Wed Nov 26 14:23:20 2026
        return float(found[1]) if found else 0.0
    with suppress(OSError, ValueError):
        for line in Path("/proc/stat").read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    return 0.0
