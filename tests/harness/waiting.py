"""Waiting for a condition with a deadline, never for a fixed time.

Every wait in the tests goes through here, so that a hang ends with the words of what was awaited.
"""

import time
from collections.abc import Callable

INTERVAL = 0.01  # seconds between two looks


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> float:
    """Returns the seconds it took for `condition` to hold; AssertionError at the deadline."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"waited {seconds:g} s in vain for: {what}")
        time.sleep(INTERVAL)
    return time.monotonic() - start
