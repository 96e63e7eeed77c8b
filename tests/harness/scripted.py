"""An HTTP server that gives the answers of a script, one after the other, to whatever it is asked."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.harness import background


@dataclass(frozen=True)
class Answer:
    """With `cut`, the connection is closed after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    """The server: add to `answers` what it shall say next. The last one is repeated."""

    url: str
    answers: list[Answer]
    requests: list[Asked] = field(default_factory=list)
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, asked: Asked) -> Answer:
        with self.lock:
            self.requests.append(asked)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def as_json(status: int = 200, headers: Mapping[str, str] | None = None, /, **fields: object) -> Answer:
    return Answer(status, json.dumps(fields).encode(), headers or {})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.script.connections += 1  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        script: Scripted = self.server.script  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = script.next(Asked(self.command, self.path, dict(self.headers), body))
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body[: answer.cut])
        self.close_connection = answer.cut is not None

    do_PUT = do_POST = do_PATCH = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def in_thread(*answers: Answer) -> Iterator[Scripted]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script = Scripted(f"http://127.0.0.1:{server.server_port}", list(answers))
    server.script = script  # type: ignore[attr-defined]
    with background.serving(server):
        yield script
