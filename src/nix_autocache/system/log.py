"""What processes of our own write into their logs, which is standard error. A log that cannot be written to, as on a
full disk, ends nothing."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress

from ..errors import without_secrets

_MOST = 100  # different bugs that are worth their lines
_seen: set[str] = set()


def line(text: str) -> None:
    with suppress(Exception):
        print(without_secrets(text), file=sys.stderr, flush=True)


def exception() -> None:
    """The exception that is handled now, with where it is from: once, since what happens again may happen often."""
    with suppress(Exception):
        text = traceback.format_exc()
        if text not in _seen and len(_seen) < _MOST:
            _seen.add(text)
            line(text.rstrip())
