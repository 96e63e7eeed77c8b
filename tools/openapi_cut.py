"""Cuts what `init` calls out of a service's OpenAPI description, for the fakes of the tests.

GitHub's comes with npm's `@octokit/openapi` (`npm pack @octokit/openapi`, 13 MB, in it
`package/generated/api.github.com.json`): `python tools/openapi_cut.py github DESCRIPTION`.

The descriptions' own dialects become JSON Schema: references are put in, `nullable` becomes a type, and objects are
closed. Answers lose `required`, since a fake gives the part that we read, and what lies deep in them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Json = Any

DATA: Final = Path(__file__).parents[1] / "tests/harness/data"
GITHUB: Final = (
    *("repos/get", "repos/get-content", "repos/compare-commits"),
    *("git/get-ref", "git/create-ref", "git/update-ref", "git/delete-ref"),
    *("git/get-commit", "git/create-commit", "git/create-tree"),
    *("pulls/list", "pulls/create", "pulls/get", "pulls/update"),
    *("actions/get-repo-public-key", "actions/get-repo-secret"),
    *("actions/create-or-update-repo-secret", "actions/delete-repo-secret"),
    *("actions/get-repo-variable", "actions/create-repo-variable"),
    *("actions/update-repo-variable", "actions/delete-repo-variable"),
    "actions/get-custom-oidc-sub-claim-for-repo",
)
WANTED: Final[Mapping[str, tuple[str, ...]]] = {"github": GITHUB}
DEPTH: Final = 3  # levels of an answer
KEPT: Final = (
    *("type", "enum", "items", "properties", "required", "additionalProperties", "pattern"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "anyOf", "oneOf", "allOf"),
)
METHODS: Final = ("get", "put", "post", "patch", "delete")


class Cut:
    """A description, of which operations are taken."""

    def __init__(self, description: Json) -> None:
        self._description = description

    def operations(self, wanted: tuple[str, ...]) -> Iterator[Json]:
        """Raises ValueError if one is not there."""
        missing = set(wanted)
        for path, methods in self._description["paths"].items():
            for method in METHODS:
                operation = methods.get(method, {})
                if operation.get("operationId") in wanted:
                    missing.remove(operation["operationId"])
                    shared = methods.get("parameters", [])
                    yield self._operation(path, method, operation, shared)
        if missing:
            raise ValueError(f"the description lacks {', '.join(sorted(missing))}")

    def _operation(self, path: str, method: str, operation: Json, shared: list[Json]) -> Json:
        given = [self._followed(each) for each in [*shared, *operation.get("parameters", [])]]
        query = [each for each in given if each["in"] == "query"]
        body = self._followed(operation.get("requestBody", {}))
        # Not every refusal is described.
        answers = {status: self._followed(each) for status, each in operation["responses"].items() if status < "400"}
        return {
            "id": operation["operationId"],
            "method": method.upper(),
            "path": path,
            "slashes": [each["name"] for each in given if each.get("x-multi-segment")],
            "query": {each["name"]: self._schema(each["schema"]) for each in query},
            "required": [each["name"] for each in query if each.get("required")],
            "body": self._content(body),
            "body_required": body.get("required", False),
            "answers": {status: self._content(each, DEPTH) for status, each in answers.items()},
        }

    def _content(self, message: Json, depth: int = 0) -> Json:
        content = message.get("content", {}).get("application/json")
        return self._schema(content["schema"], depth) if content else None

    def _followed(self, node: Json) -> Json:
        while "$ref" in node:
            name = node["$ref"]
            node = self._description
            for part in name.removeprefix("#/").split("/"):
                node = node[part]
        return node

    def _schema(self, node: Json, depth: int = 0, *, of_all: bool = False) -> Json:
        """JSON Schema of a node. With `depth` it is an answer, of which so many levels are kept."""
        node = self._followed(node)
        found = {name: node[name] for name in KEPT if name in node}
        if depth:
            found.pop("required", None)
            if "oneOf" in found:  # which one it is cannot be seen of a part
                found["anyOf"] = found.pop("oneOf")
        if depth == 1:
            return {}
        for name in ("anyOf", "oneOf", "allOf"):
            if name in found:
                found[name] = [self._schema(each, depth, of_all=name == "allOf") for each in found[name]]
        below = depth and depth - 1
        if "items" in found:
            found["items"] = self._schema(found["items"], below)
        if "properties" in found:
            found["properties"] = {name: self._schema(each, below) for name, each in found["properties"].items()}
            if not of_all:
                found.setdefault("additionalProperties", False)
        if isinstance(found.get("additionalProperties"), dict):
            found["additionalProperties"] = self._schema(found["additionalProperties"], below)
        return _or_null(found) if node.get("nullable") else found


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def main(service: str, path: str) -> None:
    """Write the cut of one service."""
    description = json.loads(Path(path).read_text(encoding="utf-8"))
    rows = sorted(Cut(description).operations(WANTED[service]), key=lambda row: str(row["id"]))
    lines = ",\n".join(json.dumps(row, separators=(",", ":"), sort_keys=True) for row in rows)
    source = json.dumps(f"{description['info']['title']} {description['info']['version']}")
    DATA.joinpath(f"{service}-openapi.json").write_text(f'{{"source": {source}, "operations": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(*sys.argv[1:])
