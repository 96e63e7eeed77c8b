"""The log of a managed machine's uploader, where systemd's journal does not keep it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ...system.files import write
from ..paths import Paths

_LONGEST: Final = 1 << 20  # bytes


def path(paths: Paths) -> Path:
    return paths.state / "uploader.log"


def shorten(log: Path) -> None:
    """Move a long log aside and empty it. The uploader has it open and continues at its end. Raises OSError."""
    if log.stat().st_size > _LONGEST:
        write(log.with_suffix(".log.1"), log.read_bytes(), 0o644)
        os.truncate(log, 0)
