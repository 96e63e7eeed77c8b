"""HTTP on kept connections: what is answered plainly counts, all else is left to be asked again."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nix_autocache.caches import http_read
from nix_autocache.caches.http import HttpCache
from nix_autocache.errors import CacheBusy
from nix_autocache.nix.narinfo import NarFile, render
from nix_autocache.nix.store import PathInfo, StorePath
from nix_autocache.nix.store_url import parse_cache_url
from nix_autocache.uploader.compress import Codec
from nix_autocache.uploader.presence import THERE
from nix_autocache.uploader.push import BinaryCache
from tests.harness.waiting import wait_for

HASHES = ["0123456789abcdfghijklmnpqrsvwxyz", "1123456789abcdfghijklmnpqrsvwxyz", "2123456789abcdfghijklmnpqrsvwxyz"]
PATHS = [StorePath(f"/nix/store/{text}-path") for text in HASHES]


class Plain(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.server.connections += 1  # type: ignore[attr-defined]
        super().setup()

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        Path(self.translate_path(self.path)).write_bytes(content)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Old(Plain):
    protocol_version = "HTTP/1.0"


class Hasty(Plain):
    """Closes a connection that is idle for a moment."""

    timeout = 0.05

    def finish(self) -> None:
        super().finish()
        self.server.ended += 1  # type: ignore[attr-defined]


class Silent(Plain):
    def do_PUT(self) -> None:
        self.rfile.read()  # until nobody waits any more


class Thinking(Plain):
    wbufsize = -1  # so that an answer is one packet
    seconds = 0.0

    def do_GET(self) -> None:
        time.sleep(self.seconds)
        super().do_GET()


class Chunked(Plain):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nsome \r\n7;x=y\r\ncontent\r\n0\r\n\r\n")


class Lengthless(Plain):
    """Its answer ends with the connection."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"some content")
        self.close_connection = True


class Elsewhere(Plain):
    def __init__(self, there: str, *words: Any, **options: Any) -> None:
        self.there = there
        super().__init__(*words, **options)

    def do_GET(self) -> None:
        self.send_response(307)
        self.send_header("Location", self.there + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[partial[ThreadingHTTPServer]]:
    running = []

    def start(handler: type[Plain]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path)))
        server.connections = server.ended = 0  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append(server)
        return server

    yield start  # type: ignore[misc]
    for server in running:
        server.shutdown()
        server.server_close()


def narinfo(directory: Path, path: StorePath, *, of: StorePath | None = None) -> None:
    info = PathInfo(of or path, "", (), f"sha256:{'0' * 52}", 120, "", ())
    text = render(info, NarFile("nar/x.nar", "none", "0" * 52, 120), None)
    (directory / f"{path.hash_part}.narinfo").write_text(text)


def cache_of(server: ThreadingHTTPServer) -> HttpCache:
    return HttpCache(parse_cache_url(f"http://127.0.0.1:{server.server_port}"), {})


def test_one_connection_answers_for_what_is_there_and_what_is_not(
    tmp_path: Path, serve: partial[ThreadingHTTPServer]
) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "empty").write_text("")
    server = serve(Plain)
    cache = cache_of(server)
    assert cache.get("a") == b"one"
    assert cache.get_many(["a", "empty", "gone"]) == {"a": b"one", "empty": b"", "gone": None}
    assert server.connections == 1  # type: ignore[attr-defined]


def test_a_server_that_thinks_is_asked_on_many_connections(
    tmp_path: Path, serve: partial[ThreadingHTTPServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    cache = cache_of(serve(Thinking))
    assert cache.together == 2, "to find out"
    cache.get_many(["a", "b"])
    assert cache.together == 16
    monkeypatch.setattr(Thinking, "seconds", 0.01)
    cache.get_many(["a", "b"])
    assert cache.together == 1


def test_a_server_that_ends_each_connection_answers_for_the_first(
    tmp_path: Path, serve: partial[ThreadingHTTPServer]
) -> None:
    (tmp_path / "a").write_text("one")
    assert cache_of(serve(Old)).get_many(["a", "b"]) == {"a": b"one"}


def test_nobody_answers_for_nothing() -> None:
    cache = HttpCache(parse_cache_url("http://127.0.0.1:1"), {})
    cache.open_connections(2)
    assert cache.get_many(["a"]) == {}


def test_a_put_goes_on_when_the_server_closed_its_connection(
    tmp_path: Path, serve: partial[ThreadingHTTPServer]
) -> None:
    server = serve(Hasty)
    cache = cache_of(server)
    for name in ("a", "b"):
        cache.put(name, name.encode(), "text/plain")
        wait_for(lambda: server.ended == server.connections, "the end of an idle connection")  # type: ignore[attr-defined]
    assert (tmp_path / "a").read_text() + (tmp_path / "b").read_text() == "ab"
    assert server.connections == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("handler", [Chunked, Lengthless])
def test_an_answer_of_any_length_is_read(serve: partial[ThreadingHTTPServer], handler: type[Plain]) -> None:
    cache = cache_of(serve(handler))
    assert cache.get("a") == b"some content"
    assert cache.get("a") == b"some content"


def test_a_question_that_is_sent_elsewhere_is_asked_there(tmp_path: Path, serve: partial[ThreadingHTTPServer]) -> None:
    (tmp_path / "a").write_text("one")
    there = serve(Plain)
    cache = cache_of(serve(partial(Elsewhere, f"http://127.0.0.1:{there.server_port}")))
    assert cache.get("a") == b"one"
    assert cache.exists("a")


@pytest.mark.slow
def test_a_put_without_an_answer_is_for_later(
    serve: partial[ThreadingHTTPServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_read, "QUESTION", 0.1)
    with pytest.raises(CacheBusy, match="no answer in time"):
        cache_of(serve(Silent)).put("a", b"one", "text/plain")


def test_a_narinfo_of_another_path_is_no_answer(tmp_path: Path, serve: partial[ThreadingHTTPServer]) -> None:
    """As it would be where a server mixes up the order; the path is then asked for alone."""
    narinfo(tmp_path, PATHS[0])
    narinfo(tmp_path, PATHS[1], of=PATHS[0])
    url = parse_cache_url(f"http://127.0.0.1:{serve(Plain).server_port}")
    cache = BinaryCache(cache=HttpCache(url, {}), key=None, codec=Codec(name="zstd", level=3), cache_info="")
    answers = cache.ask([PathInfo(path, "", (), "", 0, "", ()) for path in PATHS])
    assert answers[PATHS[0]] == THERE
    assert PATHS[1] not in answers


def test_where_no_further_thread_can_be_started_none_is_opened_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user may have used up the machine's threads."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    HttpCache(parse_cache_url("http://127.0.0.1:1/"), {}).open_connections(4)
