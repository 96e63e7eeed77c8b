"""Signed views of an unsigned embedded cache: what makes Nix trust what an earlier job left there.

A view holds narinfos that a key of this job signed, see `uploader/view.py`; it goes away with the job.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import one_line
from ..machine import paths
from ..machine.paths import Paths
from ..machine.state_directory import locked
from ..nix.store import Nix
from ..system.files import make_directory
from ..system.trees import remove_tree
from .context import Context
from .destination import Destination

_STALE: Final = 7 * 86400.0  # seconds that no job takes


def make(context: Context, destination: Destination, nix: Nix) -> Destination:
    """The destination with views of what Nix can read of it, if its paths carry no signature."""
    from ..uploader import view

    directory, caches = _directory(context), [*destination.others, Path(destination.url.path)]
    if not destination.unsigned or not any(cache.is_dir() for cache in caches):
        return destination
    try:
        with locked(_paths(context)):
            _sweep(directory)
            make_directory(directory, 0o755)
            return destination.viewed(*view.make(directory, caches, nix.store_dir))
    except OSError as error:
        context.host.warning(f"the cache cannot be read: {directory}: {one_line(error)}")
        return destination


def remove(context: Context) -> None:
    """Remove this job's views."""
    remove_tree(_directory(context))


def _directory(context: Context) -> Path:
    return _paths(context).state / "views" / context.job_name


def _paths(context: Context) -> Paths:
    """This user's: the job's own directory may be root's to make, with the lines that name a view."""
    return paths.machine(context.environ) if os.geteuid() == 0 else context.own_paths


def _sweep(mine: Path) -> None:
    """Remove the views of an earlier set-up of this job, and of jobs that were killed."""
    with suppress(FileNotFoundError):
        for directory in mine.parent.iterdir():
            if directory == mine or directory.stat().st_mtime < time.time() - _STALE:
                remove_tree(directory)
