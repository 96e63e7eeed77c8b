"""A cache without signatures, as one job's Nix may read it: its narinfos, signed, beside a link to its archives.

Used where a CI host keeps the cache among the job's own files, which is no place for a secret key. The key that signs
here is made for this job alone, is never written anywhere, and is forgotten when this returns.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..keys import PublicKey, generate_job_key
from ..system.files import make_directory, write_atomically
from . import kept
from .narinfo import render


def make(directory: Path, caches: Iterable[Path], store_dir: str) -> tuple[list[Path], PublicKey]:
    """Make a view of each cache that has something in it, in `directory`; where they are, and whose signature they
    carry. Raises OSError.
    """
    key, views = generate_job_key(), []
    for number, cache in enumerate(caches):
        if not (infos := list(kept.read(cache, store_dir))):
            continue
        view = directory / str(number)
        make_directory(view, 0o755)
        os.symlink(cache / "nar", view / "nar")
        write_atomically(view / "nix-cache-info", f"StoreDir: {store_dir}\nWantMassQuery: 1\nPriority: 41\n", 0o644)
        for each in infos:
            _write(view / each.file.name, render(each.info, each.archive, key))
        views.append(view)
    return views, key.public


def _write(path: Path, text: str) -> None:
    """Nobody reads the view before it is whole, so that there is nothing to replace."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o644)
        file.write(text)
