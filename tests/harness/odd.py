"""An HTTP server with GET, HEAD and PUT that is odd in the ways that its modes name, as servers in the field are.

`in_thread` serves a test; `python odd.py PORT DIRECTORY MODE…` serves a machine, see `servers.odd`. A mode is a name,
perhaps with `=` and a value:

redirect-get=STATUS, redirect-put=STATUS   sent to `to=URL`, by default to this server's own /elsewhere/
signed          /elsewhere/ was signed for GET and PUT only: HEAD is refused there
loop            every request is sent to itself
no-chunks=STATUS, no-chunks-close          a body without Content-Length is refused, the connection perhaps closed
chunks-lost     a body without Content-Length is taken, and nothing of it stored
missing=STATUS  for what is not there, as a bucket whose user may not list it
page, blank     200 for what is not there, with a web page as a log-in has it, or with nothing
drops           what is PUT is taken, and not stored; drops=PATTERN only names that match
changes=PATTERN what matches in what is PUT is replaced by `by=TEXT`
refuse=STATUS   to GET and PUT of whatever matches `of=PATTERN`
keeps=STATUS    to every DELETE
immutable=STATUS                           what is there cannot be put again
locked=STATUS   to the first PUT of each name
gzip, http10, endless
silent          no answer for a second
break-at=SIZE   the first response to GET with more bytes breaks there; then a range may begin anywhere
region=NAME     an S3 bucket in that region, to whoever signs for another; with region-in-text the content says it
virtual=BUCKET  an S3 endpoint that refuses buckets in the path
"""

import gzip
import hashlib
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ELSEWHERE = "/elsewhere/"
PAGE = b"<!doctype html>\n<title>Log in</title>\n"


@dataclass
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    status: int = 0
    connection: int = 0  # the client's port


@dataclass
class Odd:
    """A running server, and what it was asked."""

    directory: Path
    modes: Mapping[str, str]
    requests: list[Request] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def odd(self) -> Odd:
        odd: Odd = self.server.odd  # type: ignore[attr-defined]
        return odd

    def mode(self, name: str) -> int:
        """The status that a mode has for its value, or 0."""
        return int(self.odd.modes.get(name) or 0)

    def parse_request(self) -> bool:
        understood = super().parse_request()
        self.path = re.sub("^http://[^/]*", "", getattr(self, "path", ""))  # as a proxy is asked
        return understood

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.misplaced():
            return None
        name = self.path.partition("?")[0].removeprefix(ELSEWHERE).lstrip("/")
        file = self.odd.directory / name
        if self.path.startswith(ELSEWHERE):
            if "signed" in self.odd.modes and self.command == "HEAD":
                return self.say(403, b"SignatureDoesNotMatch")
        elif "loop" in self.odd.modes:
            return self.say(302, location=self.path)
        elif self.mode("redirect-get") and name != "nix-cache-info":
            return self.say(self.mode("redirect-get"), location=self.there(name))
        if self.mode("refuse") and re.search(self.odd.modes["of"], self.path):
            return self.say(self.mode("refuse"), b"no")
        if "silent" in self.odd.modes:
            time.sleep(1)
        if "break-at" in self.odd.modes and file.is_file():
            return self.say_until(self.mode("break-at"), file.read_bytes())
        if "endless" in self.odd.modes:
            return self.say(200, b"x" * (8 << 20))
        if not file.is_file() and self.odd.modes.keys() & {"page", "blank"}:
            return self.say(200, PAGE if "page" in self.odd.modes else b"")
        if not file.is_file():
            return self.say(self.mode("missing") or 404, b"not there")
        if "gzip" in self.odd.modes and not name.startswith("nar/"):
            return self.say(200, gzip.compress(file.read_bytes()), content_encoding="gzip")
        return self.say(200, file.read_bytes())

    def do_PUT(self) -> None:
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        if chunked and "no-chunks-close" in self.odd.modes:
            self.close_connection = True
            return self.say(411, b"length required", connection="close")
        body = self.body(chunked)
        if self.misplaced():
            return None
        name = self.path.partition("?")[0].removeprefix(ELSEWHERE).lstrip("/")
        if chunked and self.mode("no-chunks"):
            return self.say(self.mode("no-chunks"), b"length required")
        if "loop" in self.odd.modes:
            return self.say(307, location=self.path)
        status = self.mode("redirect-put")
        if status and not self.path.startswith(ELSEWHERE):
            if status == 303:
                self.store(name, body)
            return self.say(status, location=self.there(name))
        if self.mode("refuse") and re.search(self.odd.modes["of"], self.path):
            return self.say(self.mode("refuse"), b"no")
        if self.mode("immutable") and (self.odd.directory / name).exists():
            return self.say(self.mode("immutable"), b"it is there")
        if self.mode("locked") and name not in self.odd.seen:
            self.odd.seen.add(name)
            return self.say(self.mode("locked"), b"locked")
        if changes := self.odd.modes.get("changes"):
            body = re.sub(changes.encode(), self.odd.modes["by"].encode(), body, flags=re.DOTALL)
        if "drops" not in self.odd.modes or not re.search(self.odd.modes["drops"], name):
            self.store(name, b"" if chunked and "chunks-lost" in self.odd.modes else body)
        return self.say(201)

    def do_DELETE(self) -> None:
        self.say(self.mode("keeps"), _xml("AccessDenied"))

    def there(self, name: str) -> str:
        return self.odd.modes.get("to", f"http://{self.headers['Host']}") + f"{ELSEWHERE}{name}?X-Signature=a%2Fb"

    def misplaced(self) -> bool:
        """Answers what an S3 server says of a bucket that is not where it was asked for."""
        signed_for = re.search(r"Credential=[^/]*/\d*/([a-z0-9-]+)/|%2F\d{8}%2F([a-z0-9-]+)%2F", self.signature())
        region = self.odd.modes.get("region")
        if region and signed_for and region not in signed_for.groups():
            if "region-in-text" in self.odd.modes:
                self.say(400, _xml("AuthorizationHeaderMalformed", f"<Region>{region}</Region>"))
            else:
                self.say(301, _xml("PermanentRedirect"), x_amz_bucket_region=region)
            return True
        bucket = self.odd.modes.get("virtual")
        if bucket and not self.headers["Host"].startswith(f"{bucket}."):
            self.say(403, _xml("SecondLevelDomainForbidden"))
            return True
        return False

    def signature(self) -> str:
        return f"{self.headers.get('Authorization', '')} {self.path}"

    def body(self, chunked: bool) -> bytes:
        if not chunked:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def store(self, name: str, body: bytes) -> None:
        file = self.odd.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{threading.get_ident()}")
        part.write_bytes(body)
        part.rename(file)

    def say_until(self, limit: int, body: bytes) -> None:
        """Answers with a body that ends early the first time, and with what a range asks for."""
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if begin:
            start, size = int(begin[1]), len(body)
            return self.say(206, body[start:], content_range=f"bytes {start}-{size - 1}/{size}")
        self.odd.requests.append(Request(self.command, self.path, dict(self.headers), 200))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:limit])
        self.close_connection = True
        return None

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        port = self.client_address[1]
        self.odd.requests.append(Request(self.command, self.path, dict(self.headers), status, port))
        self.send_response(status)
        headers = {"etag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"', **headers}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Last-Modified", self.date_time_string())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class OldHandler(Handler):
    protocol_version = "HTTP/1.0"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what some modes are for."""


def _xml(code: str, more: str = "") -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>no</Message>{more}</Error>'.encode()


def start(directory: Path, modes: Sequence[str], port: int = 0) -> tuple[Odd, Server]:
    odd = Odd(directory, {name: value for name, _, value in (mode.partition("=") for mode in modes)})
    server = Server(("127.0.0.1", port), OldHandler if "http10" in odd.modes else Handler)
    server.odd = odd  # type: ignore[attr-defined]
    odd.port = server.server_port
    return odd, server


@contextmanager
def in_thread(directory: Path, *modes: str) -> Iterator[Odd]:
    odd, server = start(directory, modes)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield odd
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    start(Path(sys.argv[2]), sys.argv[3:], int(sys.argv[1]))[1].serve_forever()
