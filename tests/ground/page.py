"""A host that is no cache: it answers every request with 200 and a web page that is not one of its files.

Run as a program inside a machine's network: `python -m tests.ground.page PORT DIRECTORY`. What lies in DIRECTORY is
served as it is.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.ground.machine import Machine
from tests.ground.servers import Server, serving
from tests.ground.tools import PROJECT

PAGE = b"<!doctype html>\n<title>Log in</title>\n"


@contextmanager
def host(machine: Machine, directory: Path, port: int = 9180) -> Iterator[Server]:
    """The host on a port of the machine."""
    command = ["env", f"PYTHONPATH={PROJECT}", sys.executable, "-m", "tests.ground.page", str(port), str(directory)]
    with serving(machine, command, port, directory) as server:
        yield server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    directory = Path()

    def do_GET(self) -> None:
        file = self.directory / self.path.lstrip("/")
        content = file.read_bytes() if file.is_file() else PAGE
        self._answer(content)
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        file = self.directory / self.path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        self._answer(b"")

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    _Handler.directory = Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
