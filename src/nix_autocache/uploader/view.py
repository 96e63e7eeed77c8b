"""A cache without signatures, as one job's Nix may read it: its narinfos, signed, beside a link to its archives.

Used where a CI host keeps the cache among the job's own files, which is no place for a secret key. The key that signs
here is made for this job alone, is never written anywhere, and is forgotten when this returns.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ..nix.keys import PublicKey, generate_job_key
from ..nix.narinfo import render
from ..system.files import make_directory, write_atomically
from . import embedded_cache

_MADE_BY_NIX: Final = ("realisations", "log")  # a daemon that finds them missing makes them root's


def make(directory: Path, caches: Iterable[Path], store_dir: str) -> tuple[list[Path], PublicKey]:
    """Make a view of each cache that has something in it, in `directory`; where they are, and whose signature they
    carry. Raises OSError.
    """
    key, views = generate_job_key(), []
    for number, cache in enumerate(caches):
        if not (infos := list(embedded_cache.read(cache, store_dir))):
            continue
        view = directory / str(number)
        for made in (view, *(view / name for name in _MADE_BY_NIX)):
            make_directory(made, 0o755)
        os.symlink(cache / "nar", view / "nar")
        write_atomically(view / "nix-cache-info", f"StoreDir: {store_dir}\nWantMassQuery: 1\nPriority: 41\n", 0o644)
        for each in infos:
            write_atomically(view / each.file.name, render(each.info, each.archive, key), 0o644)
        paths = {each.info.path for each in infos}
        for file, realised in embedded_cache.realisations(cache, store_dir):
            if realised.path in paths:
                write_atomically(view / "realisations" / file.name, realised.render(key), 0o644)
        views.append(view)
    return views, key.public
