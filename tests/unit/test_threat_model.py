"""The threat model names tests: they are there."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
MODEL = TESTS.parent / "docs" / "threat-model.md"


def test_every_invariant_names_tests_that_are_there() -> None:
    there = {
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", MODEL.read_text(), re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, len(rows) + 1))
    for number, promise, named in rows:
        tests = re.findall(r"`(test_\w+)`", named)
        assert tests, f"{number}, {promise}: no test attacks it"
        assert set(tests) <= there, f"{number}: {set(tests) - there}"
