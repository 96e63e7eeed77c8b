"""The uploader of a job that only pulls: it pushes nothing, and keeps the read proxy alive until it is told to end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from ..progress import Progress

_LONGEST: Final = 24 * 3600.0  # seconds: by then the job was killed and cannot end us
_NOTHING: Final = Progress(counts={}, pushed_bytes=0, waiting=0, trouble="")


class IdleUploader:
    """Answers as an `Uploader` with an empty queue."""

    public_key = ""
    silence = 0.0

    def __init__(self) -> None:
        self._stop = threading.Event()

    def run(self) -> None:
        """Return after `end`."""
        self._stop.wait(_LONGEST)

    def end(self) -> None:
        self._stop.set()

    def progress(self) -> Progress:
        return _NOTHING

    def error(self, timeout: float) -> None:
        """None: nothing is wrong."""

    def wait_answerable(self, timeout: float) -> None:
        """Return at once."""

    def flush(self, deadline: float, tell: Callable[[Progress], None]) -> bool:
        return True
