"""tools/check_pins.py, against an index of the test's own."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tools import check_pins

from tests.harness import background

PACKAGES = {
    "current": (["1.0"], {}),
    "old-one": (["1.9", "1.10", "2.0rc1", "2.0.dev1"], {}),
    "withdrawn": (["1.0", "1.1"], {"1.1": "a mistake"}),
    "posted": (["2.9.0", "2.9.0.post0", "2.9.0.post1"], {}),
    "two": (["3", "4"], {}),
}
LOCK = """\
current==1.0 \\
    --hash=sha256:00
old-one==1.9 ; python_version < '3.14' \\
    --hash=sha256:00
withdrawn==1.0
posted==2.9.0.post0
two==3 ; python_full_version < '3.12'
two==4 ; python_full_version >= '3.12'
"""


class Index(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        versions, yanked = PACKAGES.get(self.path.strip("/"), ([], {}))
        name = self.path.strip("/").replace("-", "_")
        files = [
            {"filename": f"{name}-{each}-py3-none-any.whl", "yanked": yanked.get(each, False)} for each in versions
        ]
        asked = self.headers["Accept"] == "application/vnd.pypi.simple.v1+json"
        body = json.dumps({"name": self.path.strip("/"), "versions": versions, "files": files}).encode()
        self.send_response(200 if versions and asked else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    with background.serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


def test_pins_with_a_newer_release_are_named(index: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lock.txt").write_text(LOCK)
    assert check_pins.main(["--index", index, str(tmp_path / "lock.txt")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "old-one: 1.10 is newer than the pinned 1.9",
        "posted: 2.9.0.post1 is newer than the pinned 2.9.0.post0",
    ]


def test_a_lock_of_the_newest_is_fine(index: str, tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text("current==1.0\nold-one==1.10\n")
    assert check_pins.main(["--index", index, str(tmp_path / "lock.txt")]) == 0


def test_an_index_that_does_not_answer_is_not_taken_for_good_news(index: str, tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text("current==1.0\nunknown==1\n")
    assert check_pins.main(["--index", index, str(tmp_path / "lock.txt")]) == 2
