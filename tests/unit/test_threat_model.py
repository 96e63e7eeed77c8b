"""The threat model names tests: they are there."""

import ast
import re
from collections.abc import Iterator
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


SENTENCES = (
    "trust/root_rights", "trust/sockets", "trust/isolation", "uploader/secrets",
    "job/exposures", "job/tried_exposures", "job/hardening",
    "ci/github", "ci/gitlab", "ci/local",
)  # fmt: skip
WORDS = 5  # of a sentence that a test must have in one piece


def sentences(source: Path) -> Iterator[str]:
    """The fixed text of the ways that a module names: what its functions of sentences yield or return."""
    for function in ast.walk(ast.parse(source.read_text())):
        if not isinstance(function, ast.FunctionDef) or not function.returns:
            continue
        if ast.unparse(function.returns) in {"Iterator[str]", "tuple[str, ...]"}:
            documented = ast.get_docstring(function, clean=False)
            for node in ast.walk(function):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != documented:
                    yield from (piece.strip(" ,;:(") for piece in node.value.split("{}"))


def test_every_way_that_is_named_is_produced_by_a_test() -> None:
    texts = [path.read_text() for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    missing = []
    for name in SENTENCES:
        for text in sentences(TESTS.parent / "src" / "nix_autocache" / f"{name}.py"):
            words = text.split()
            size = min(WORDS, len(words))
            pieces = [" ".join(words[start : start + size]) for start in range(len(words) - size + 1)]
            if size > 2 and not any(piece in tested for piece in pieces for tested in texts):
                missing.append(f"{name}: {text}")
    assert missing == []
