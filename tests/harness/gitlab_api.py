"""A GitLab server's API with one project, which remembers what is done to it, on a port of this machine.

Every request is checked against a description of the API, `data/gitlab-api.json`, and refused with 400 if it does not
fit. What GitLab asks of a value, a branch or a pipeline is asked here as well; sources: docs.gitlab.com/api, and for
what is masked app/models/concerns/ci/maskable.rb.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from tests.harness import background
from tests.harness.openapi import Description

Json = Any
NAME = "acme/project"
TOKEN = "glpat-0123456789abcdefghij"
DESCRIPTION = Description(Path(__file__).with_name("data") / "gitlab-api.json")
MASKABLE = re.compile(r"\S{8,}")
READS = frozenset(
    {"projects/get", "repository/tree", "files/get", "repository/compare", "merge_requests/list", "ci/lint"}
)


@dataclass(frozen=True)
class Refusal(Exception):  # noqa: N818 - an answer
    status: int
    body: Json


def missing(what: str) -> Refusal:
    return Refusal(404, {"message": f"404 {what} Not Found"})


@dataclass
class GitLabApi:
    """The state: `branches` are files by path, `variables` and `requests` rows as the API shows them, but for hidden
    values, which are in `variables` and never shown."""

    url: str = ""
    settings: dict[str, Json] = field(default_factory=dict)
    """Attributes of the project that are not as usual."""
    branches: dict[str, dict[str, str]] = field(default_factory=lambda: {"main": {"default.nix": "{ }\n"}})
    commits: dict[str, list[str]] = field(default_factory=dict)
    """Messages of what a branch has and `main` has not; without them it is of somebody else."""
    variables: dict[str, dict[str, Json]] = field(default_factory=dict)
    requests: list[dict[str, Json]] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)
    """Answers to operations of the description that are not to be carried out."""
    asked: list[str] = field(default_factory=list)
    """The operations, in order."""
    dies_at: int = -1
    """The number of the request at which the connection is lost."""
    dies_after: bool = False
    """Whether that request is carried out before."""

    @property
    def writes(self) -> list[str]:
        return [each for each in self.asked if each not in READS and each != "variables/get"]

    def state(self) -> Json:
        """What a run should have made, however often it was interrupted."""
        texts = [{name: row[name] for name in ("title", "description", "state")} for row in self.requests]
        return {"branches": self.branches, "variables": self.variables, "requests": texts}

    def answer(self, method: str, target: str, token: str, body: Json) -> tuple[int, Json]:
        """Raises ConnectionError where the connection is to be lost."""
        operation, values = DESCRIPTION.find(method, urlsplit(target).path)
        query = dict(parse_qsl(urlsplit(target).query))
        number = len(self.asked)
        self.asked.append(operation.id)
        lost = number == self.dies_at
        if lost and not self.dies_after:
            raise ConnectionError
        try:
            if token != f"Bearer {TOKEN}":
                raise Refusal(401, {"message": "401 Unauthorized"})
            if operation.id in self.refused:
                raise self.refused[operation.id]
            if complaints := operation.complaints(query, body):
                raise Refusal(400, {"error": "; ".join(complaints)})
            if values["id"] not in {NAME, "7"}:
                raise missing("Project")
            status, said = getattr(self, "answer_of_" + operation.id.replace("/", "_"))(values, query, body or {})
        except Refusal as refusal:
            status, said = refusal.status, refusal.body
        assert operation.complaints_of_answer(status, said) == []
        if lost:
            raise ConnectionError
        return status, said

    def answer_of_projects_get(self, *_: Json) -> tuple[int, Json]:
        usual = {
            "id": 7,
            "path_with_namespace": NAME,
            "default_branch": "main",
            "empty_repo": not self.branches,
            "visibility": "private",
            "ci_config_path": "",
            "ci_id_token_sub_claim_components": ["project_path", "ref_type", "ref"],
        }
        return 200, {**usual, **self.settings}

    def answer_of_variables_get(self, values: Json, *_: Json) -> tuple[int, Json]:
        if values["key"] not in self.variables:
            raise missing("Variable")
        row = self.variables[values["key"]]
        return 200, {**row, "value": None if row["hidden"] else row["value"]}

    def answer_of_variables_create(self, _: Json, __: Json, body: Json) -> tuple[int, Json]:
        if body["key"] in self.variables:
            raise Refusal(400, {"message": {"key": [f"({body['key']}) has already been taken"]}})
        hidden = body.pop("masked_and_hidden", False)
        usual = {"protected": False, "masked": hidden, "raw": False, "hidden": hidden, "environment_scope": "*"}
        return 201, self._stored({**usual, **body})

    def answer_of_variables_update(self, values: Json, _: Json, body: Json) -> tuple[int, Json]:
        if values["key"] not in self.variables:
            raise missing("Variable")
        row = {name: value for name, value in body.items() if name != "filter"}
        return 200, self._stored({**self.variables[values["key"]], **row})

    def _stored(self, row: dict[str, Json]) -> Json:
        if row["masked"] and not (row["raw"] and MASKABLE.fullmatch(row["value"])):
            raise Refusal(400, {"message": {"value": ["is invalid"]}})
        self.variables[row["key"]] = row
        return {**row, "value": None if row["hidden"] else row["value"]}

    def answer_of_variables_delete(self, values: Json, *_: Json) -> tuple[int, Json]:
        if self.variables.pop(values["key"], None) is None:
            raise missing("Variable")
        return 204, None

    def _files(self, branch: str, what: str) -> dict[str, str]:
        if branch not in self.branches:
            raise missing(what)
        return self.branches[branch]

    def answer_of_repository_tree(self, _: Json, query: Json, __: Json) -> tuple[int, Json]:
        files = self._files(query["ref"], "Tree")
        names = sorted({path.split("/")[0] for path in files})
        return 200, [{"path": name, "name": name, "type": "blob" if name in files else "tree"} for name in names]

    def answer_of_files_get(self, values: Json, query: Json, _: Json) -> tuple[int, Json]:
        files = self._files(query["ref"], "File")
        if values["file_path"] not in files:
            raise missing("File")
        content = base64.b64encode(files[values["file_path"]].encode()).decode()
        return 200, {"file_path": values["file_path"], "encoding": "base64", "content": content}

    def answer_of_repository_compare(self, _: Json, query: Json, __: Json) -> tuple[int, Json]:
        self._files(query["from"], "Ref")
        self._files(query["to"], "Ref")
        messages = self.commits.get(query["to"], ["a person's commit"])
        return 200, {"commits": [{"message": each} for each in messages], "diffs": [], "compare_same_ref": False}

    def answer_of_branches_delete(self, values: Json, *_: Json) -> tuple[int, Json]:
        self._files(values["branch"], "Branch")
        del self.branches[values["branch"]]
        self.commits.pop(values["branch"], None)
        return 204, None

    def answer_of_commits_create(self, _: Json, __: Json, body: Json) -> tuple[int, Json]:
        start = body.get("start_branch", body["branch"])
        if start != body["branch"] and body["branch"] in self.branches and not body.get("force"):
            raise Refusal(400, {"message": f"A branch called '{body['branch']}' already exists."})
        files = dict(self._files(start, "Branch"))
        for action in body["actions"]:
            there = action["file_path"] in files
            if there == (action["action"] == "create"):
                words = "already exists" if there else "doesn't exist"
                raise Refusal(400, {"message": f"A file with this name {words}"})
            files[action["file_path"]] = action["content"]
        self.branches[body["branch"]] = files
        before = [] if start != body["branch"] else self.commits.get(start, [])
        self.commits[body["branch"]] = [*before, body["commit_message"]]
        return 201, {"title": body["commit_message"]}

    def answer_of_merge_requests_list(self, _: Json, query: Json, __: Json) -> tuple[int, Json]:
        found = [row for row in self.requests if query.get("source_branch") in {None, row["source_branch"]}]
        return 200, [row for row in found if query.get("state") in {None, "all", row["state"]}]

    def answer_of_merge_requests_create(self, _: Json, __: Json, body: Json) -> tuple[int, Json]:
        self._files(body["source_branch"], "Branch")
        own = [row for row in self.requests if row["source_project_id"] == 7 and row["state"] == "opened"]
        if any(row["source_branch"] == body["source_branch"] for row in own):
            raise Refusal(409, {"message": ["Another open merge request already exists for this source branch: !1"]})
        iid = len(self.requests) + 1
        row = {name: body.get(name) for name in ("title", "description", "source_branch", "target_branch")}
        place = {"iid": iid, "source_project_id": 7, "web_url": f"{self.url}/{NAME}/-/merge_requests/{iid}"}
        self.requests.append({**row, **place, "state": "opened"})
        return 201, self.requests[-1]

    def answer_of_merge_requests_update(self, values: Json, _: Json, body: Json) -> tuple[int, Json]:
        row = self.requests[int(values["merge_request_iid"]) - 1]
        row |= {name: body[name] for name in ("title", "description") if name in body}
        row["state"] = "closed" if body.get("state_event") == "close" else row["state"]
        return 200, row

    def answer_of_ci_lint(self, _: Json, query: Json, __: Json) -> tuple[int, Json]:
        errors = list(self._errors(self._files(query["content_ref"], "Branch")))
        return 200, {"valid": not errors, "errors": errors, "warnings": []}

    def _errors(self, files: Mapping[str, str]) -> Iterator[str]:
        path = self.settings.get("ci_config_path") or ".gitlab-ci.yml"
        try:
            whole = yaml.safe_load(files[path])
            included = [row["local"].removeprefix("/") for row in whole.get("include", []) if "local" in row]
            yield from (f"Local file `{name}` does not exist!" for name in included if name not in files)
            parts = [yaml.safe_load(files[name]) for name in included if name in files]
        except yaml.YAMLError as error:
            yield f"Invalid configuration format: {error}"
            return
        stages = {".pre", ".post", *whole.get("stages", ("build", "test", "deploy"))}
        for name, job in (item for part in (whole, *parts) for item in part.items()):
            if isinstance(job, dict) and "script" in job and job.get("stage", "test") not in stages:
                yield f"{name} job: chosen stage {job.get('stage', 'test')} does not exist"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: the client's kernel would wait 40 ms for the second

    def do_GET(self) -> None:
        api: GitLabApi = self.server.api  # type: ignore[attr-defined]
        given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = self.headers.get("Authorization", "")
        try:
            status, said = api.answer(self.command, self.path, token, json.loads(given) if given else None)
        except ConnectionError:
            self.close_connection = True
            return
        body = b"" if said is None else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(api: GitLabApi) -> Iterator[GitLabApi]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.api = api  # type: ignore[attr-defined]
    api.url = f"http://127.0.0.1:{server.server_port}"
    with background.serving(server):
        yield api
