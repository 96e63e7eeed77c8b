"""What we decided or changed, kept as JSON for those who come later: a note is there whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def save(note: DataclassInstance, path: Path) -> None:
    """Write it beside `path`, in the place of what is there; directories that are missing are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(dataclasses.asdict(note)), encoding="utf-8")
    fresh.rename(path)
