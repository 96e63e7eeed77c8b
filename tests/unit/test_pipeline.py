"""Many questions in one go: what is answered plainly counts, all else is left to be asked again."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nix_autocache.caches.http import open_http
from nix_autocache.caches.pipeline import Server
from nix_autocache.nix.store import StorePath
from nix_autocache.uploader.compress import Codec
from nix_autocache.uploader.push import BinaryCache
from nix_autocache.urls import parse_cache_url

HASHES = ["0123456789abcdfghijklmnpqrsvwxyz", "1123456789abcdfghijklmnpqrsvwxyz", "2123456789abcdfghijklmnpqrsvwxyz"]
PATHS = [StorePath(f"/nix/store/{text}-path") for text in HASHES]


class Plain(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.server.connections += 1  # type: ignore[attr-defined]
        super().setup()

    def log_message(self, *_: object) -> None:
        pass


class Old(Plain):
    protocol_version = "HTTP/1.0"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[partial[ThreadingHTTPServer]]:
    running = []

    def start(handler: type[Plain]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path)))
        server.connections = 0  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append(server)
        return server

    yield start  # type: ignore[misc]
    for server in running:
        server.shutdown()
        server.server_close()


def narinfo(directory: Path, path: StorePath, *, of: StorePath | None = None) -> None:
    (directory / f"{path.hash_part}.narinfo").write_text(f"StorePath: {of or path}\nURL: nar/x\n")


def test_one_connection_answers_for_what_is_there_and_what_is_not(
    tmp_path: Path, serve: partial[ThreadingHTTPServer]
) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "empty").write_text("")
    server = serve(Plain)
    found = Server(f"http://127.0.0.1:{server.server_port}", {}, None).get_many(["a", "empty", "gone"])
    assert found == {"a": b"one", "empty": b"", "gone": None}
    assert server.connections == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("base", ["http://127.0.0.1:1", "http://127.0.0.1:{port}"])
def test_what_a_server_of_other_habits_does_not_answer_for_is_left_out(
    tmp_path: Path, serve: partial[ThreadingHTTPServer], base: str
) -> None:
    """Nobody listens; one answer for each connection, in the way of HTTP 1.0."""
    (tmp_path / "a").write_text("one")
    server = serve(Old)
    assert Server(base.format(port=server.server_port), {}, None).get_many(["a", "a"]) == {}


def test_a_narinfo_of_another_path_is_no_answer(tmp_path: Path, serve: partial[ThreadingHTTPServer]) -> None:
    """As it would be where a server mixes up the order; the path is then asked for alone."""
    narinfo(tmp_path, PATHS[0])
    narinfo(tmp_path, PATHS[1], of=PATHS[0])
    url = parse_cache_url(f"http://127.0.0.1:{serve(Plain).server_port}")
    cache = BinaryCache(cache=open_http(url, {}), key=None, codec=Codec(name="zstd", level=3), cache_info="")
    answers = cache.ask(PATHS)
    assert answers[PATHS[0]] is True
    assert PATHS[1] not in answers
