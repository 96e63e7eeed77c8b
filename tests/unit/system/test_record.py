"""A record is read as it was written, and text that is no record is a ValueError."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from nix_autocache.system import record
from nix_autocache.system.dataclass import dataclass, field


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    name: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Record:
    path: Path
    colour: Colour
    word: Literal["a", "b"]
    ratio: float
    numbers: Mapping[int, str]
    pattern: re.Pattern[str] | None
    paths: tuple[Path, ...]
    inner: Inner | None = None
    later: tuple[Inner, ...] | None = None
    flag: bool = False


TEXTS: record.TextForms = {re.Pattern: (lambda pattern: pattern.pattern, re.compile)}
SMALL = Record(
    path=Path("/a"), colour=Colour.RED, word="a", ratio=1.5, numbers={1: "one"}, pattern=None, paths=(Path("b"),)
)
FULL = Record(
    path=Path("/\udcff"), colour=Colour.RED, word="b", ratio=2.0, numbers={}, pattern=re.compile("^x"), paths=(),
    inner=Inner("i"), later=(Inner(), Inner("j")), flag=True,
)  # fmt: skip


@pytest.mark.parametrize("there", [SMALL, FULL])
def test_a_record_is_read_as_it_was_written(there: Record) -> None:
    text = record.dumps(there, TEXTS)
    assert "\n" not in text
    assert record.loads(Record, text, TEXTS) == there


def test_an_older_record_gets_defaults_and_a_newer_one_loses_what_is_unknown() -> None:
    values = json.loads(record.dumps(SMALL, TEXTS))
    del values["flag"]
    assert record.loads(Record, json.dumps({**values, "new": 1}), TEXTS) == SMALL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("path", 1), ("path", None), ("colour", "blue"), ("word", "c"), ("ratio", "1"), ("numbers", {"x": "y"}),
        ("numbers", []), ("pattern", 5), ("paths", "abc"), ("paths", [1]), ("inner", []), ("flag", 1),
    ],
)  # fmt: skip
def test_a_field_of_another_type_is_refused(name: str, value: Any) -> None:
    values = json.loads(record.dumps(SMALL, TEXTS))
    with pytest.raises(ValueError):  # noqa: PT011 - from several places
        record.loads(Record, json.dumps({**values, name: value}), TEXTS)


def test_fields_are_what_their_types_say() -> None:
    found = record.loads(Record, record.dumps(FULL, TEXTS), TEXTS)
    assert found.colour is Colour.RED
    assert found.flag is True


@pytest.mark.parametrize("text", ["", "[]", "null", "{}"])
def test_text_that_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - from several places
        record.loads(Record, text, TEXTS)
