"""The log of our own processes, which is standard error. A failure to write it, as on a full disk, is ignored."""

from __future__ import annotations

import sys
from contextlib import suppress

from ..errors import without_secrets

_MOST = 100  # different exceptions that are logged in full
_seen: set[str] = set()


def line(text: str) -> None:
    with suppress(Exception):
        print(without_secrets(text), file=sys.stderr, flush=True)


def exception() -> None:
    """Log the traceback of the exception that is being handled. The same one is logged only once."""
    with suppress(Exception):
        import traceback  # it takes 5 ms, which every step would pay

        text = traceback.format_exc()
        if text not in _seen and len(_seen) < _MOST:
            _seen.add(text)
            line(text.rstrip())
