"""The checker of requests to fakes, on GitHub's own description: what it lets through proves nothing."""

import json
import urllib.request
from pathlib import Path

import pytest

from tests.harness import github_api, openapi
from tests.harness.openapi import Description

GITHUB = Description(Path(openapi.__file__).with_name("data") / "github-openapi.json")
REPOSITORY = "/repos/acme/project"


@pytest.mark.parametrize(
    ("method", "path", "operation", "given"),
    [
        ("GET", "/actions/secrets/public-key", "actions/get-repo-public-key", {}),
        ("GET", "/actions/secrets/KEY", "actions/get-repo-secret", {"secret_name": "KEY"}),
        ("GET", "/contents/.github/workflows/a%20b.yml", "repos/get-content", {"path": ".github/workflows/a b.yml"}),
        ("GET", "/git/ref/heads/a/b", "git/get-ref", {"ref": "heads/a/b"}),
        ("GET", "/compare/main...a", "repos/compare-commits", {"base": "main", "head": "a"}),
    ],
)
def test_a_request_is_found_with_what_is_in_its_path(
    method: str, path: str, operation: str, given: dict[str, str]
) -> None:
    found, values = GITHUB.find(method, REPOSITORY + path)
    assert found.id == operation
    assert values == {"owner": "acme", "repo": "project", **given}


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("GET", "/secrets"), ("GET", "/actions/secrets/a/b")])
def test_a_request_that_is_not_described_is_not_found(method: str, path: str) -> None:
    with pytest.raises(LookupError):
        GITHUB.find(method, REPOSITORY + path)


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "complaint"),
    [
        ("POST", "/actions/variables", {}, {"name": "A", "value": "b"}, ""),
        ("POST", "/actions/variables", {}, {"name": "A"}, "body: 'value' is a required property"),
        ("POST", "/actions/variables", {}, {"name": "A", "value": 1}, "body.value: 1 is not of type 'string'"),
        ("POST", "/actions/variables", {}, {"name": "A", "value": "", "x": 1}, "body: Additional properties are not"),
        ("POST", "/actions/variables", {}, None, "it has no body"),
        ("POST", "/actions/variables", {"x": "y"}, {"name": "A", "value": "b"}, "x is no parameter of the query"),
        ("PUT", "/actions/secrets/A", {}, {"encrypted_value": "plain!", "key_id": "1"}, "body.encrypted_value: "),
        ("DELETE", "/actions/secrets/A", {}, {"name": "A"}, "it should have no body"),
        ("GET", "/pulls", {"state": "open", "per_page": "30"}, None, ""),
        ("GET", "/pulls", {"state": "opened"}, None, "?state: 'opened' is not one of"),
        ("GET", "/pulls", {"page": "first"}, None, "?page: 'first' is not of type 'integer'"),
        ("POST", "/git/trees", {}, {"tree": [{"path": "a", "mode": "644"}]}, "body.tree[0].mode: '644' is not one of"),
    ],
)
def test_what_does_not_fit_is_a_complaint(
    method: str, path: str, query: dict[str, str], body: object, complaint: str
) -> None:
    found = GITHUB.find(method, REPOSITORY + path)[0].complaints(query, body)
    assert len(found) == bool(complaint)
    assert "".join(found).startswith(complaint)


def test_an_answer_that_the_service_would_not_give_is_a_complaint() -> None:
    operation, _ = GITHUB.find("GET", f"{REPOSITORY}/actions/variables/A")
    said = {"name": "A", "value": "b", "created_at": "", "updated_at": ""}
    assert operation.complaints_of_answer(200, said) == []
    assert operation.complaints_of_answer(201, said) == ["status 201 is none of 200"]
    assert len(operation.complaints_of_answer(200, {**said, "secret": "b"})) == 1


def asked_wrongly() -> None:
    with github_api.in_thread({"flake.nix": ""}) as server:
        body = json.dumps({"name": "A", "value": "b", "visibility": "all"}).encode()
        headers = {"Authorization": f"Bearer {server.token}"}
        url = f"{server.url}/api/v3{REPOSITORY}/actions/variables"
        urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10)


def test_the_fake_ends_a_test_that_asked_something_wrong() -> None:
    with pytest.raises(AssertionError, match=r"actions/create-repo-variable: .*visibility"):
        asked_wrongly()
