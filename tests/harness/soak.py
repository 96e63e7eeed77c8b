"""The number of random inputs: `make soak` tries all of them, other runs a tenth.

A test that has more to try is marked `soak` and asks for its number here: `@settings(max_examples=seeds(1000))`. Other
runs try the same examples each time.
Tests that use hypothesis import this module, which sets it up.
"""

import os

from hypothesis import HealthCheck, settings

WHOLE = os.environ.get("SOAK") == "1"


def seeds(whole: int) -> int:
    """The share of `whole` examples that this run tries; at least one."""
    return whole if WHOLE else max(1, whole // 10)


# Machines are busy and examples use disks, so none is judged by its time. Nothing is kept in the checkout.
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "soak", deadline=None, database=None, derandomize=not WHOLE, print_blob=True, suppress_health_check=_SLOW
)
settings.load_profile("soak")
