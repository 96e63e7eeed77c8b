"""Makes signed views of caches without signatures, so that one job's Nix can read them.

For a CI host that keeps the cache among the job's own files, where a secret key would not be safe. A view has the
narinfos, signed, and a link to the archives. The key is made for this job and never written to disk.
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

_MADE_BY_NIX: Final = ("realisations", "log")  # if they are missing, a daemon makes them as root


def make(directory: Path, caches: Iterable[Path], store_dir: str) -> tuple[list[Path], PublicKey]:
    """Make a view in `directory` of each cache that is not empty. Returns the views, and the key that signed them.

    Raises OSError.
    """
    key, views = generate_job_key(), []
    for number, cache in enumerate(caches):
        if not (narinfos := list(embedded_cache.read(cache, store_dir))):
            continue
        view = directory / str(number)
        for folder in (view, *(view / name for name in _MADE_BY_NIX)):
            make_directory(folder, 0o755)
        os.symlink(cache / "nar", view / "nar")
        write_atomically(view / "nix-cache-info", f"StoreDir: {store_dir}\nWantMassQuery: 1\nPriority: 41\n", 0o644)
        for each in narinfos:
            write_atomically(view / each.file.name, render(each.info, each.archive, key), 0o644)
        paths = {each.path for each in narinfos}
        for file, realisation in embedded_cache.realisations(cache, store_dir):
            if realisation.path in paths:
                write_atomically(view / "realisations" / file.name, realisation.render(key), 0o644)
        views.append(view)
    return views, key.public
