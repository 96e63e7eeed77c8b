"""Checks requests to a fake, and its answers, against a cut of the service's own OpenAPI description.

The cut is a file that `tools/openapi_cut.py` writes: the operations that we call, their schemas as JSON Schema. A
schema of objects is closed, so that a name that the service does not know is a complaint.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator

Json = Any


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A method of a path. Schemas are JSON Schema; None stands for no body, and for one that is not described."""

    id: str
    method: str
    path: str
    """With its parameters in braces, as in `/repos/{owner}/{repo}`."""
    slashes: tuple[str, ...] = ()
    """The parameters of the path whose values may have slashes."""
    query: Mapping[str, Json] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    """Parameters of the query that must be given."""
    body: Json = None
    body_required: bool = False
    answers: Mapping[str, Json] = field(default_factory=dict)
    """By status, without refusals."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", self.path)  # text, name, text, name, …
        words = [
            re.escape(part) if number % 2 == 0 else f"(?P<{part}>{'.*' if part in self.slashes else '[^/]+'})"
            for number, part in enumerate(parts)
        ]
        return re.compile("".join(words))

    def complaints(self, query: Mapping[str, str], body: Json) -> list[str]:
        """What is wrong with a request; none if it is right."""
        found = [f"{name} is no parameter of the query" for name in query if name not in self.query]
        found += [f"the query lacks {name}" for name in self.required if name not in query]
        for name in query.keys() & self.query.keys():
            found += _invalid(_of_text(query[name], self.query[name]), self.query[name], f"?{name}")
        if body is None:
            return found + (["it has no body"] if self.body_required else [])
        return found + (_invalid(body, self.body, "body") if self.body is not None else ["it should have no body"])

    def complaints_of_answer(self, status: int, body: Json) -> list[str]:
        """What is wrong with an answer of the fake. Refusals are not described well enough to be checked."""
        if status >= 400:
            return []
        if str(status) not in self.answers:
            return [f"status {status} is none of {', '.join(self.answers)}"]
        schema = self.answers[str(status)]
        return _invalid(body, schema, "answer") if schema is not None else []


class Description:
    """The cut of a service."""

    def __init__(self, path: Path) -> None:
        rows = [Operation(**row) for row in json.loads(path.read_text(encoding="utf-8"))["operations"]]
        # The most literal path first: `secrets/public-key` is no secret's name.
        self._operations = sorted(rows, key=lambda row: row.path.count("{"))

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """The operation of a request, and the values in its path, which is still percent-encoded. Raises LookupError
        for a request that is not in the cut."""
        for operation in self._operations:
            if operation.method == method and (match := operation.pattern.fullmatch(path)):
                return operation, {name: unquote(value) for name, value in match.groupdict().items()}
        raise LookupError(f"{method} {path} is not in the cut of the description")


def _of_text(text: str, schema: Json) -> Json:
    """A value of a query as its schema means it."""
    kinds = schema.get("type", "string")
    if "integer" in kinds and text.isdecimal():
        return int(text)
    # A client in Python writes its own `True`; both services take it.
    return text.lower() == "true" if "boolean" in kinds and text.lower() in {"true", "false"} else text


def _invalid(value: Json, schema: Json, where: str) -> list[str]:
    errors = Draft202012Validator(schema).iter_errors(value)
    return [f"{where}{error.json_path.removeprefix('$')}: {error.message}" for error in errors]
