"""How much is tried: `make soak` tries all random inputs and all combinations, other runs a tenth, and each value once.

A test that has more to try is marked `soak` and asks for its number here: `@settings(max_examples=seeds(1000))`. Other
runs try the same examples each time. A test of two parameters that is marked `every_value` tries each value of both in
`make test`, and every combination in `make soak`.
Tests that use hypothesis import this module, which sets it up.
"""

import os
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings

WHOLE = os.environ.get("SOAK") == "1"


def seeds(whole: int) -> int:
    """The share of `whole` examples that this run tries; at least one."""
    return whole if WHOLE else max(1, whole // 10)


@dataclass
class Table:
    """The values of two parameters of a test, in their order."""

    rows: list[object] = field(default_factory=list)
    columns: list[object] = field(default_factory=list)

    def add(self, row: object, column: object) -> None:
        for values, value in ((self.rows, row), (self.columns, column)):
            if value not in values:
                values.append(value)

    def tries(self, row: object, column: object) -> bool:
        """Whether this run tries a combination: every one, or those on the diagonal, which has each value once."""
        one, other = self.rows.index(row), self.columns.index(column)
        return WHOLE or one % len(self.columns) == other % len(self.rows)


# Machines are busy and examples use disks, so none is judged by its time. Nothing is kept in the checkout.
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "soak", deadline=None, database=None, derandomize=not WHOLE, print_blob=True, suppress_health_check=_SLOW
)
settings.load_profile("soak")
