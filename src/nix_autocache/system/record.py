"""What we decided or changed, kept as JSON for those who come later: a note is there whole or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from .files import make_directory, write_atomically

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def save(note: DataclassInstance, path: Path) -> None:
    """Write it beside `path`, in the place of what is there; directories that are missing are made."""
    make_directory(path.parent, 0o755)
    write_atomically(path, json.dumps(dataclasses.asdict(note)), 0o644)
