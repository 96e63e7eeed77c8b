"""GitHub's REST API for tests of `init`: one repository with its state, behind real HTTP, as a GitHub Enterprise
server has it below `/api/v3`.

Each request is checked against GitHub's own OpenAPI description, and so is each answer. Secrets are unsealed, so that
a test sees what was stored. It can refuse an operation, and end the connection before or after any request, as where
the client was killed.
"""

import base64
import copy
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from nacl.public import PrivateKey, SealedBox

from tests.harness import background
from tests.harness.git_state import Commit, Files, GitState, sha
from tests.harness.openapi import Description

TOKEN = "ghp_a-token-of-a-person"
NAME = "acme/project"
_PREFIX = "/api/v3"
_DESCRIPTION = Path(__file__).with_name("data") / "github-openapi.json"
_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_WORKFLOWS = ".github/workflows/"

Json = Any


@dataclass
class Refusal(Exception):  # noqa: N818 - an answer
    """An answer of the real one's, with its words."""

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()

    def body(self) -> Json:
        said: dict[str, Json] = {"message": self.message, "documentation_url": "https://docs.github.com/rest"}
        if self.errors:
            said["errors"] = [{"resource": "PullRequest", "code": "custom", "message": text} for text in self.errors]
        return said


NOT_FOUND = Refusal(404, "Not Found")


@dataclass(frozen=True)
class Asked:
    """A request, by the operation's name in GitHub's description."""

    operation: str
    method: str
    body: Json


@dataclass
class GitHub:
    """The server and its one repository. Tests read and change its fields."""

    url: str = ""
    name: str = NAME
    token: str = TOKEN
    scopes: str = "repo, workflow"
    private: bool = True
    subjects: dict[str, Json] = field(
        default_factory=lambda: {
            "use_default": True,
            "use_immutable_subject": True,
            "sub_claim_prefix": "repo:acme@123456/project@456789",
        }
    )
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    git: GitState = field(default_factory=GitState)
    pulls: list[dict[str, Json]] = field(default_factory=list)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    """By operation."""
    lives: int | None = None
    """How many requests still arrive; then the client is as good as killed."""
    loses_answer: bool = False
    """Whether the last of them gets no answer."""
    requests: list[Asked] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What the description has against requests and answers."""

    def __post_init__(self) -> None:
        self._key = PrivateKey.generate()
        self._description = Description(_DESCRIPTION)
        self._lock = threading.Lock()

    @property
    def writes(self) -> list[str]:
        """The operations that were asked for and change something."""
        return [each.operation for each in self.requests if each.method in _WRITES]

    def merge(self) -> None:
        """Squash the open pull request into main, and leave its branch there."""
        (pull,) = (each for each in self.pulls if each["state"] == "open")
        self.git.push(self.git.files(pull["head"]), message=pull["title"])
        pull["state"] = "closed"

    def state(self) -> Json:
        """What a user sees of the repository; equal for runs that end the same."""
        return copy.deepcopy([self.variables, self.secrets, self.git.seen(), self.pulls])

    def answer(self, method: str, target: str, authorization: str, body: Json) -> Refusal | tuple[int, Json]:
        """A status with a body. Raises ConnectionAbortedError where the connection ends."""
        with self._lock:
            if self.lives is not None and len(self.requests) >= self.lives:
                raise ConnectionAbortedError
            parts = urlsplit(target)
            query = dict(parse_qsl(parts.query))
            operation, given = self._description.find(method, parts.path.removeprefix(_PREFIX))
            self.requests.append(Asked(operation.id, method, body))
            self._check(operation.id, operation.complaints(query, body))
            answer = self._answer(operation.id, authorization, {**given, **query}, body)
            if not isinstance(answer, Refusal):
                self._check(operation.id, operation.complaints_of_answer(*answer))
            if self.loses_answer and len(self.requests) == self.lives:
                raise ConnectionAbortedError
            return answer

    def _check(self, operation: str, complaints: list[str]) -> None:
        self.wrong += [f"{operation}: {complaint}" for complaint in complaints]

    def _answer(self, operation: str, authorization: str, given: Json, body: Json) -> Refusal | tuple[int, Json]:
        if authorization not in {f"token {self.token}", f"Bearer {self.token}"}:
            return Refusal(401, "Bad credentials")
        if operation in self.refusals:
            return self.refusals[operation]
        if f"{given['owner']}/{given['repo']}" != self.name:
            return NOT_FOUND
        try:
            name = operation.replace("/", "_").replace("-", "_")
            answer: tuple[int, Json] = getattr(self, f"answer_of_{name}")(given, body or {})
            return answer
        except Refusal as refusal:
            return refusal

    # The operations, by their names in the description: each gets the parameters of path and query, and the body.

    def answer_of_repos_get(self, _given: Json, _body: Json) -> tuple[int, Json]:
        owner, name = self.name.split("/")
        rest = {"id": 456789, "name": name, "full_name": self.name, "private": self.private, "url": self._address()}
        return 200, {**rest, "default_branch": "main", "owner": {"login": owner, "id": 123456}}

    def answer_of_repos_get_content(self, given: Json, _body: Json) -> tuple[int, Json]:
        if not self.git.branches:
            raise Refusal(404, "This repository is empty.")
        files, path = self.git.files(self._known(given.get("ref", "main"))), given["path"]
        if path in files:
            return 200, self._entry(path) | {"encoding": "base64", "content": _base64(files[path])}
        folder = f"{path}/" if path else ""
        below = [each.removeprefix(folder) for each in files if each.startswith(folder)]
        if not below:
            raise NOT_FOUND
        names = dict.fromkeys(each.split("/")[0] for each in below)
        return 200, [self._entry(folder + each, "file" if each in below else "dir") for each in names]

    def answer_of_repos_compare_commits(self, given: Json, _body: Json) -> tuple[int, Json]:
        base, head = (self.git.line(self.git.branches[self._known(given[name])]) for name in ("base", "head"))
        ahead, behind = [sha for sha in head if sha not in base], [sha for sha in base if sha not in head]
        commits = [{"sha": sha, "commit": {"message": self.git.commits[sha].message}} for sha in reversed(ahead)]
        return 200, {"ahead_by": len(ahead), "behind_by": len(behind), "total_commits": len(ahead), "commits": commits}

    def answer_of_git_get_ref(self, given: Json, _body: Json) -> tuple[int, Json]:
        if not self.git.branches:
            raise Refusal(409, "Git Repository is empty.")
        return 200, self._ref(self._known(given["ref"].removeprefix("heads/")))

    def answer_of_git_create_ref(self, _given: Json, body: Json) -> tuple[int, Json]:
        branch = body["ref"].removeprefix("refs/heads/")
        if branch in self.git.branches:
            raise Refusal(422, "Reference already exists")
        self.git.branches[branch] = body["sha"]
        return 201, self._ref(branch)

    def answer_of_git_update_ref(self, given: Json, body: Json) -> tuple[int, Json]:
        branch = self._known(given["ref"].removeprefix("heads/"))
        if not body.get("force") and self.git.branches[branch] not in self.git.line(body["sha"]):
            raise Refusal(422, "Update is not a fast forward")
        self.git.branches[branch] = body["sha"]
        return 200, self._ref(branch)

    def answer_of_git_delete_ref(self, given: Json, _body: Json) -> tuple[int, Json]:
        branch = self._known(given["ref"].removeprefix("heads/"))
        del self.git.branches[branch]
        for pull in self._open(branch):
            pull["state"] = "closed"
        return 204, None

    def answer_of_git_get_commit(self, given: Json, _body: Json) -> tuple[int, Json]:
        commit = self.git.commits[given["commit_sha"]]
        return 200, {"sha": commit.sha, "tree": {"sha": self.git.tree(commit.files)}, "message": commit.message}

    def answer_of_git_create_tree(self, _given: Json, body: Json) -> tuple[int, Json]:
        added = {each["path"]: each["content"] for each in body["tree"]}
        if any(path.startswith(_WORKFLOWS) for path in added) and "workflow" not in self.scopes:
            raise NOT_FOUND  # as GitHub does it
        return 201, {"sha": self.git.tree({**self.git.trees[body["base_tree"]], **added}), "tree": []}

    def answer_of_git_create_commit(self, _given: Json, body: Json) -> tuple[int, Json]:
        sha = self.git.keep(Commit(body["message"], self.git.trees[body["tree"]], tuple(body["parents"])))
        return 201, {"sha": sha, "tree": {"sha": body["tree"]}, "message": body["message"]}

    def answer_of_pulls_list(self, given: Json, _body: Json) -> tuple[int, Json]:
        owner, _, branch = given["head"].partition(":")
        assert (owner, given["state"], given["base"]) == (self.name.split("/")[0], "open", "main")
        return 200, [self._pull(each) for each in self._open(branch)]

    def answer_of_pulls_create(self, _given: Json, body: Json) -> tuple[int, Json]:
        if self._open(body["head"]):
            raise Refusal(422, "Validation Failed", errors=(f"A pull request already exists for {body['head']}.",))
        if self.git.branches[self._known(body["head"])] in self.git.line(self.git.branches[body["base"]]):
            raise Refusal(422, "Validation Failed", errors=(f"No commits between main and {body['head']}",))
        self.pulls.append({**body, "number": len(self.pulls) + 1, "state": "open"})
        return 201, self._pull(self.pulls[-1])

    def answer_of_pulls_update(self, given: Json, body: Json) -> tuple[int, Json]:
        pull = self.pulls[int(given["pull_number"]) - 1]
        pull.update(body)
        return 200, self._pull(pull)

    def answer_of_actions_get_custom_oidc_sub_claim_for_repo(self, _given: Json, _body: Json) -> tuple[int, Json]:
        return 200, self.subjects

    def answer_of_actions_get_repo_public_key(self, _given: Json, _body: Json) -> tuple[int, Json]:
        return 200, {"key_id": "1", "key": base64.b64encode(bytes(self._key.public_key)).decode()}

    def answer_of_actions_get_repo_secret(self, given: Json, _body: Json) -> tuple[int, Json]:
        if given["secret_name"] not in self.secrets:
            raise NOT_FOUND
        return 200, {"name": given["secret_name"], "created_at": _WHEN, "updated_at": _WHEN}

    def answer_of_actions_create_or_update_repo_secret(self, given: Json, body: Json) -> tuple[int, Json]:
        name, is_new = given["secret_name"], given["secret_name"] not in self.secrets
        self.secrets[name] = SealedBox(self._key).decrypt(base64.b64decode(body["encrypted_value"])).decode()
        return (201, {}) if is_new else (204, None)

    def answer_of_actions_delete_repo_secret(self, given: Json, _body: Json) -> tuple[int, Json]:
        del self.secrets[given["secret_name"]]
        return 204, None

    def answer_of_actions_get_repo_variable(self, given: Json, _body: Json) -> tuple[int, Json]:
        name = given["name"]
        if name not in self.variables:
            raise NOT_FOUND
        return 200, {"name": name, "value": self.variables[name], "created_at": _WHEN, "updated_at": _WHEN}

    def answer_of_actions_create_repo_variable(self, _given: Json, body: Json) -> tuple[int, Json]:
        if body["name"] in self.variables:
            raise Refusal(409, "Already exists - Variable already exists")
        self.variables[body["name"]] = body["value"]
        return 201, {}

    def answer_of_actions_update_repo_variable(self, given: Json, body: Json) -> tuple[int, Json]:
        self.variables[given["name"]] = body["value"]
        return 204, None

    def answer_of_actions_delete_repo_variable(self, given: Json, _body: Json) -> tuple[int, Json]:
        del self.variables[given["name"]]
        return 204, None

    def _address(self) -> str:
        return f"{self.url}{_PREFIX}/repos/{self.name}"

    def _known(self, branch: str) -> str:
        if branch not in self.git.branches:
            raise NOT_FOUND
        return branch

    def _open(self, branch: str) -> list[dict[str, Json]]:
        return [each for each in self.pulls if each["head"] == branch and each["state"] == "open"]

    def _ref(self, branch: str) -> Json:
        ref = f"refs/heads/{branch}"
        sha = self.git.branches[branch]
        return {"ref": ref, "url": f"{self._address()}/git/{ref}", "object": {"sha": sha, "type": "commit"}}

    def _pull(self, pull: Json) -> Json:
        number = pull["number"]
        addresses = {"url": f"{self._address()}/pulls/{number}", "html_url": f"{self.url}/{self.name}/pull/{number}"}
        ends = {end: {"ref": pull[end]} for end in ("head", "base")}
        return {
            **addresses,
            "number": number,
            "state": pull["state"],
            "title": pull["title"],
            "body": pull["body"],
            **ends,
        }

    def _entry(self, path: str, kind: str = "file") -> dict[str, Json]:
        return {"type": kind, "name": path.rpartition("/")[2], "path": path, "sha": sha(path), "size": 1}


_WHEN = "2026-11-01T12:00:00Z"


def _base64(text: str) -> str:
    return base64.encodebytes(text.encode()).decode()  # in lines, as GitHub's


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: without, each answer waits 40 ms for an acknowledgement

    def do_GET(self) -> None:
        github: GitHub = self.server.github  # type: ignore[attr-defined]
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            login = self.headers.get("Authorization", "")
            answer = github.answer(self.command, self.path, login, json.loads(data) if data else None)
        except ConnectionAbortedError:
            self.close_connection = True
            return
        except Exception as error:
            github.wrong.append(f"{self.command} {self.path}: {error!r}")
            answer = Refusal(500, repr(error))
        status, body = (answer.status, answer.body()) if isinstance(answer, Refusal) else answer
        text = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(text))}
        if github.token.startswith(("ghp_", "gho_")):
            headers["X-OAuth-Scopes"] = github.scopes
        if isinstance(answer, Refusal):
            headers |= answer.headers
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_PUT = do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def in_thread(files: Files) -> Iterator[GitHub]:
    """A server whose repository has these files on main, or no commit without any. Afterwards nothing that was asked
    and answered may be at odds with the description."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    github = GitHub(f"http://127.0.0.1:{server.server_port}")
    if files:
        github.git.push(files)
    server.github = github  # type: ignore[attr-defined]
    with background.serving(server):
        yield github
    assert not github.wrong, github.wrong
