"""GitHub's cache service, version 2, for tests: Twirp by our own few lines, its blobs in Azurite by real signed links.

It answers what was measured on github.com: keys that are taken by a reservation that was never finished, lookups that
lag, links that expire. `Actions.control` changes its state while it runs, see START, and returns it.
What GitHub's own client is content with is tested in tests/integration/test_actions_cache.py.
`python -m tests.harness.actions_cache PORT AZURITE` runs it in front of the Azurite at that port.
"""

import base64
import hmac
import http.client
import itertools
import json
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.harness import background, servers, tools
from tests.harness.controlled import Controlled
from tests.harness.machine import Machine
from tests.harness.servers import AZURE_ACCOUNT, AZURE_KEY

READ, WRITE = 1, 2
CALLS = ("GetCacheEntryDownloadURL", "CreateCacheEntry", "FinalizeCacheEntryUpload")
CONTAINER = "actions-cache"
TWIRP = "/twirp/github.actions.results.api.v1.CacheService/"
HOP_BY_HOP = frozenset({"connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding"})
START: Mapping[str, Any] = {
    "creations": None,  # that are left before 429
    "retry_after": 30,  # seconds, of that 429
    "lag": 0,  # lookups that do not find an entry that is finished from now on
    "unknown": 0,  # calls of Finalize that say not_found
    "lost": 0,  # calls of Finalize that succeed and say 502
    "denied": [],  # "read", "write", whatever the token says
    "upload_link": 3600,  # seconds; a negative number makes links that have expired
    "download_link": 600,
    "latency": 0.0,  # seconds before each answer
    # Each {"of": a pattern of a name in `calls`}, "after" so many, for so many "times"; with "status" and perhaps
    # "retry_after", with "cut", the bytes that are left of a blob, or with "whole", for which the range is ignored.
    "faults": [],
    "calls": {},  # how often each method was called; blobs as `GET blob`, `PUT block`
}


def token(scopes: Mapping[str, int]) -> str:
    """The token of a job that may do this in these scopes, its own first; nobody verifies the signature."""
    claim = json.dumps([{"Scope": scope, "Permission": rights} for scope, rights in scopes.items()])
    parts = ({"alg": "none"}, {"ac": claim})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".x"


@dataclass
class Entry:
    scope: str
    key: str
    version: str
    blob: str
    finished: bool = False
    hidden: int = 0


class TwirpError(Exception):
    """An error of Twirp."""

    def __init__(self, status: int, code: str, msg: str, retry_after: int = 0) -> None:
        self.status, self.body, self.retry_after = status, {"code": code, "msg": msg}, retry_after


@dataclass
class Service:
    """The entries. `port` is where its links lead, which is itself, and `azurite` where it passes them on to."""

    port: int
    azurite: int
    state: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(START)))
    entries: list[Entry] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    blobs: Iterator[int] = field(default_factory=itertools.count)

    def call(self, method: str, request: Mapping[str, Any], scopes: Mapping[str, int]) -> dict[str, Any]:
        key, version = str(request.get("key", "")), str(request.get("version", ""))
        if not 1 <= len(key) <= 512 or not re.fullmatch("[0-9a-f]{64}", version):
            raise TwirpError(400, "invalid_argument", "key or version is invalid")
        right = READ if method == "GetCacheEntryDownloadURL" else WRITE
        denied = {"read": READ, "write": WRITE}
        allowed = [scope for scope, rights in scopes.items() if rights & right]
        if not allowed or any(denied[word] == right for word in self.state["denied"]):
            if right == READ:
                raise TwirpError(403, "permission_denied", "cache read denied: token has no readable scopes")
            return {"ok": False, "message": "cache write denied: token has no writable scopes"}
        if method == "GetCacheEntryDownloadURL":
            return self.find(allowed, [key], request.get("restore_keys", []), version)
        if method == "CreateCacheEntry":
            return self.create(allowed[0], key, version)
        if method == "FinalizeCacheEntryUpload":
            return self.finalize(allowed[0], key, version, int(request.get("size_bytes", 0)))
        raise TwirpError(404, "bad_route", f"no handler for path {TWIRP}{method}")

    def find(self, scopes: list[str], exact: list[str], prefixes: list[str], version: str) -> dict[str, Any]:
        """`key` is only an exact key here, as it was in June 2026; a later service takes it for a prefix as well."""
        seen = [entry for entry in self.entries if entry.finished and entry.version == version]
        visible = [entry for entry in reversed(seen) if not entry.hidden]
        for entry in seen:
            entry.hidden = max(0, entry.hidden - 1)
        for scope in scopes:
            here = [entry for entry in visible if entry.scope == scope]
            found = [entry for entry in here if entry.key in exact]
            found += [entry for prefix in prefixes for entry in here if entry.key.startswith(prefix)]
            if found:
                link = self.link(found[0].blob, "r", self.state["download_link"])
                return {"ok": True, "signed_download_url": link, "matched_key": found[0].key}
        return {"ok": False}

    def create(self, scope: str, key: str, version: str) -> dict[str, Any]:
        if self.state["creations"] == 0:
            raise TwirpError(429, "resource_exhausted", "rate limit exceeded", self.state["retry_after"])
        if self.named(scope, key, version):
            raise TwirpError(409, "already_exists", "cache entry with the same key, version, and scope already exists")
        if self.state["creations"]:
            self.state["creations"] -= 1
        entry = Entry(scope, key, version, f"{next(self.blobs):08}")
        self.entries.append(entry)
        return {"ok": True, "signed_upload_url": self.link(entry.blob, "cw", self.state["upload_link"])}

    def finalize(self, scope: str, key: str, version: str, size: int) -> dict[str, Any]:
        if size <= 0:
            raise TwirpError(400, "invalid_argument", "size_bytes must be greater than 0")
        entry = next((entry for entry in self.named(scope, key, version) if not entry.finished), None)
        if self.state["unknown"] or entry is None or self.size(entry.blob) != size:
            self.state["unknown"] = max(0, self.state["unknown"] - 1)
            raise TwirpError(404, "not_found", "cache entry not found")
        entry.finished, entry.hidden = True, self.state["lag"]
        if self.state["lost"]:
            self.state["lost"] -= 1
            raise TwirpError(502, "unavailable", "bad gateway")
        return {"ok": True, "entry_id": str(int(entry.blob) + 1)}

    def named(self, scope: str, key: str, version: str) -> list[Entry]:
        return [entry for entry in self.entries if (entry.scope, entry.key, entry.version) == (scope, key, version)]

    def link(self, blob: str, rights: str, seconds: int) -> str:
        """Source: "Create a service SAS" in Azure's storage REST reference."""
        ends = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        resource, version = f"/blob/{AZURE_ACCOUNT}/{CONTAINER}/{blob}", "2020-12-06"
        text = "\n".join([rights, "", ends, resource, "", "", "", version, "b", "", "", "", "", "", "", ""])
        digest = hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), "sha256")
        query = {"sv": version, "se": ends, "sr": "b", "sp": rights, "sig": base64.b64encode(digest).decode()}
        return f"http://127.0.0.1:{self.port}/{AZURE_ACCOUNT}/{CONTAINER}/{blob}?{urlencode(query)}"

    def size(self, blob: str) -> int:
        path = self.link(blob, "r", 60).partition(f":{self.port}")[2]
        answer, _ = self.pass_on("HEAD", path, {}, b"")
        return int(answer.headers["Content-Length"]) if answer.status == 200 else -1

    def pass_on(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.azurite, timeout=60)
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def has_blob(self, path: str) -> bool:
        """False for the blob of an entry that was evicted."""
        return any(path.startswith(f"/{AZURE_ACCOUNT}/{CONTAINER}/{entry.blob}?") for entry in self.entries)

    def fault(self, asked: str) -> Mapping[str, Any]:
        """The fault for a request, if there is one; each is there for so many times, once without `times`."""
        for fault in self.state["faults"]:
            if not fault.get("times", 1) or not re.search(fault["of"], asked):
                continue
            if fault.get("after", 0):
                fault["after"] -= 1
                continue
            fault["times"] = fault.get("times", 1) - 1
            return dict(fault)
        return {}

    def control(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """`evict` removes the finished entries whose key begins so; `appear` ends the lag of all."""
        if "evict" in changes:
            self.entries = [entry for entry in self.entries if not entry.key.startswith(changes["evict"])]
        for entry in self.entries if "appear" in changes else ():
            entry.hidden = 0
        self.state |= {name: value for name, value in changes.items() if name in START}
        return {**self.state, "keys": [entry.key for entry in self.entries if entry.finished]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        service: Service = self.server.service  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/control":
            with service.lock:
                return self.say(200, service.control(json.loads(body)))
        if not self.path.startswith((TWIRP, f"/{AZURE_ACCOUNT}/")):
            return self.say(404, {"code": "bad_route"})
        name = self.path.removeprefix(TWIRP)
        block = re.search("comp=(block(list)?)", self.path)
        asked = name if name != self.path else f"{self.command} {block[1] if block else 'blob'}"
        with service.lock:
            service.state["calls"][asked] = service.state["calls"].get(asked, 0) + 1
            fault = service.fault(asked)
        time.sleep(service.state["latency"])
        if "status" in fault:
            return self.say(fault["status"], {"msg": "a fault"}, fault.get("retry_after", 0))
        if name != self.path:
            return self.call(service, name, body)
        if not service.has_blob(self.path):
            return self.say(404, {})
        return self.blob(service, body, fault)

    do_PUT = do_POST = do_HEAD = do_GET  # noqa: N815

    def call(self, service: Service, method: str, body: bytes) -> None:
        try:
            scopes = _scopes(self.headers.get("Authorization", ""))
            with service.lock:
                self.say(200, service.call(method, json.loads(body), scopes))
        except TwirpError as error:
            self.say(error.status, error.body, error.retry_after)

    def blob(self, service: Service, body: bytes, fault: Mapping[str, Any]) -> None:
        """Passes the request on to Azurite, which checks the link."""
        left_out = {*HOP_BY_HOP, *({"range", "x-ms-range"} if fault.get("whole") else ())}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
        answer, content = service.pass_on(self.command, self.path, headers, body)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        length = answer.headers.get("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        cut = fault.get("cut")
        self.wfile.write(content[:cut])
        self.close_connection = self.close_connection or cut is not None

    def say(self, status: int, answer: Mapping[str, Any], retry_after: int = 0) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", str(retry_after))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what some tests are about."""


def _scopes(authorization: str) -> dict[str, int]:
    """What a token allows. Raises TwirpError for none."""
    try:
        part = authorization.removeprefix("Bearer ").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return {str(each["Scope"]): int(each["Permission"]) for each in json.loads(claims["ac"])}
    except (IndexError, KeyError, ValueError):
        raise TwirpError(401, "unauthenticated", "no valid token") from None


def start(port: int, azurite: int) -> Server:
    """A server that is not served yet; Azurite must answer."""
    servers.create_container(azurite, CONTAINER)
    server = Server(("127.0.0.1", port), Handler)
    server.service = Service(server.server_port, azurite)  # type: ignore[attr-defined]
    return server


@dataclass(frozen=True)
class Actions(Controlled):
    """The running service. `control` also returns the `keys` of all finished entries."""

    def env(self, scopes: Mapping[str, int] | None = None) -> dict[str, str]:
        """The variables of a job with a token for these scopes, its own first."""
        given = token({"refs/heads/main": READ | WRITE} if scopes is None else scopes)
        return {
            "ACTIONS_RUNTIME_TOKEN": given,
            "ACTIONS_RESULTS_URL": f"{self.url}/",
            "ACTIONS_CACHE_SERVICE_V2": "True",
        }


@contextmanager
def in_thread(directory: Path) -> Iterator[Actions]:
    """In this process, with an Azurite of its own, for tests without machines."""
    with servers.azurite_of_host(directory) as azurite:
        server = start(0, azurite)
        with background.serving(server):
            yield Actions(f"http://127.0.0.1:{server.server_port}")


@contextmanager
def in_machine(machine: Machine, directory: Path, port: int = 10200) -> Iterator[Actions]:
    """In the network of a machine."""
    with servers.azurite(machine, directory / "azurite") as azurite:
        azurite.wait()
        command = ["env", f"PYTHONPATH={tools.PROJECT}", sys.executable, "-m", "tests.harness.actions_cache"]
        with servers.serving(machine, [*command, str(port), str(azurite.port)], port, directory / "service") as server:
            server.wait()
            yield Actions(server.url, machine.network)


if __name__ == "__main__":
    start(int(sys.argv[1]), int(sys.argv[2])).serve_forever()
