"""Threads that are daemons: no program waits for them at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable


def start(task: Callable[[], object], name: str) -> threading.Thread | None:
    """Run a task in a thread of its own; in this one, and None, where the machine starts no further thread."""
    thread = threading.Thread(target=task, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        task()
        return None
    return thread
