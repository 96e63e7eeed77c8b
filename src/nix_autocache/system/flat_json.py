"""JSON that others wrote, which is nested only a little: the stack of a thread may be too small for more."""

from __future__ import annotations

import json
from typing import Any, Final

_BRACKETS: Final = 100


def parse(text: bytes | bytearray) -> Any:
    """As `json.loads`. Raises ValueError, also for more than 100 brackets."""
    if text.count(b"[") + text.count(b"{") > _BRACKETS:
        raise ValueError(f"it has more than {_BRACKETS} brackets")
    return json.loads(text)
