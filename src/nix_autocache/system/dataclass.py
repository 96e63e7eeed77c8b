"""The dataclasses of this project: type checkers see the standard library's, a run loads `dataclass_methods.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass, replace
else:
    from .dataclass_methods import MISSING, Field, asdict, dataclass, field, fields, is_dataclass, replace

__all__ = ["MISSING", "Field", "asdict", "dataclass", "field", "fields", "is_dataclass", "replace"]
