"""Reading an entry by its link: ranges, redirects, time limits, and servers that answer something else."""

import socket
import threading
from collections.abc import Mapping

import pytest

from nix_autocache.caches.actions import transport as transport_module
from nix_autocache.caches.actions.service import Expired
from nix_autocache.caches.actions.transport import Transport
from nix_autocache.caches.redirects import Target
from nix_autocache.errors import CacheBusy, CacheError, Error
from tests.harness import scripted
from tests.harness.scripted import Answer, Scripted

TOKEN = "runtime-token"
CONTENT = bytes(range(200))


def transport_of(server: Scripted) -> Transport:
    return Transport(Target(server.url, "/"), TOKEN, {})


def part(start: int, end: int, cut: int | None = None) -> Answer:
    header = f"bytes {start}-{end - 1}/{len(CONTENT)}"
    return Answer(206, CONTENT[start:end], {"Content-Range": header}, cut)


def test_a_range_is_asked_for_without_the_token() -> None:
    with scripted.in_thread(part(10, 20)) as server:
        found = transport_of(server).read(f"{server.url}/x?sig=y", 10, 20)
        assert found
        assert (found.content, found.total, found.ignores_ranges) == (CONTENT[10:20], 200, False)
    asked = server.requests[0]
    assert (asked.path, asked.headers["Range"]) == ("/x?sig=y", "bytes=10-19")
    assert "Authorization" not in asked.headers
    assert "nix-autocache" in asked.headers["User-Agent"]


def test_a_redirect_is_followed_without_the_token() -> None:
    with (
        scripted.in_thread(part(0, 10)) as other,
        scripted.in_thread(Answer(302, b"", {"Location": other.url})) as home,
    ):
        found = transport_of(home).read(f"{home.url}/x", 0, 10)
        assert found
        assert found.content == CONTENT[:10]
        assert "Authorization" not in other.requests[0].headers


def test_a_redirect_to_the_service_of_the_machine_s_credentials_is_not_followed() -> None:
    with scripted.in_thread(Answer(302, b"", {"Location": "http://169.254.169.254/latest"})) as server:
        with pytest.raises(CacheError):
            transport_of(server).read(f"{server.url}/x", 0, 10)
        with pytest.raises(CacheError):
            transport_of(server).read("http://169.254.169.254/latest", 0, 10)


def test_a_server_that_ignores_the_range_sends_no_more_than_is_needed() -> None:
    with scripted.in_thread(Answer(200, CONTENT * 50_000)) as server:
        found = transport_of(server).read(server.url, 300, 310)
        assert found
        assert (found.content, found.total, found.ignores_ranges) == (CONTENT[100:110], 10_000_000, True)
        content = transport_of(server).stream(server.url, 9_999_990, 1 << 40)
        assert content
        assert (content.size, b"".join(content.pieces)) == (10, CONTENT[190:])


def test_behind_the_end_there_is_nothing() -> None:
    with scripted.in_thread(Answer(416, b"", {"Content-Range": "bytes */200"})) as server:
        found = transport_of(server).read(server.url, 200, 201)
        assert found
        assert (found.content, found.total) == (b"", 200)


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_gone_is_none(status: int) -> None:
    with scripted.in_thread(Answer(status, b"BlobNotFound")) as server:
        assert transport_of(server).read(server.url, 0, 1) is None
        assert transport_of(server).stream(server.url, 0, 1) is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_link_that_has_ended_is_renewed_by_the_caller(status: int) -> None:
    with scripted.in_thread(Answer(status, b"AuthenticationFailed")) as server, pytest.raises(Expired):
        transport_of(server).read(server.url, 0, 1)


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (206, {}, CacheError),
        (206, {"Content-Range": "bytes 0-9/200"}, CacheError),  # as Azurite answers a suffix range
        (206, {"Content-Range": "bytes 10-18/200"}, CacheError),
        (206, {"Content-Range": "bytes 10-20/200"}, CacheError),
        (206, {"Content-Range": "bytes 10-19/*"}, CacheError),
        (206, {"Content-Range": "bytes 10-19/5"}, CacheError),
        (206, {"Content-Range": f"bytes 10-19/{'9' * 5000}"}, CacheError),
        (200, {"Content-Length": "x", "Transfer-Encoding": "chunked"}, CacheError),
        (204, {}, CacheError),
        (416, {}, CacheError),
        (416, {"Content-Range": "bytes */200"}, CacheError),
        (304, {}, CacheError),
        (400, {}, CacheError),
        (500, {}, CacheBusy),
        (503, {"Retry-After": "9"}, CacheBusy),
    ],
)
def test_another_answer_is_an_error(status: int, headers: Mapping[str, str], kind: type[Error]) -> None:
    with scripted.in_thread(Answer(status, b"", headers)) as server, pytest.raises(kind) as caught:
        transport_of(server).read(f"{server.url}/x?sig=SECRET", 10, 20)
    assert getattr(caught.value, "retry_after", 0.0) == (9.0 if status == 503 else 0.0)
    assert "SECRET" not in str(caught.value)


def test_an_answer_that_is_cut_off_is_asked_again() -> None:
    short = Answer(206, CONTENT[:5], {"Content-Range": "bytes 0-9/200"})
    for answer in (part(0, 10, cut=4), short):
        with scripted.in_thread(answer) as server, pytest.raises(CacheBusy):
            transport_of(server).read(server.url, 0, 10)


def test_an_answer_that_goes_on_is_cut_here() -> None:
    long = Answer(206, CONTENT, {"Content-Range": "bytes 0-9/200"})
    with scripted.in_thread(long) as server:
        found = transport_of(server).read(server.url, 0, 10)
        assert found
        assert found.content == CONTENT[:10]


def test_a_stream_that_nobody_reads_to_its_end_is_closed() -> None:
    with scripted.in_thread(Answer(206, bytes(1 << 20), {"Content-Range": "bytes 0-1048575/1048576"})) as server:
        transport = transport_of(server)
        content = transport.stream(server.url, 0, 1 << 20)
        assert content
        next(content.pieces)
        content.close()
        server.answers[:] = [part(0, 10)]
        assert transport.read(server.url, 0, 10)
        assert server.connections == 2


def test_a_service_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "_CALL", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = Transport(Target(f"http://127.0.0.1:{silent.getsockname()[1]}", "/"), TOKEN, {})
        with pytest.raises(CacheBusy, match="no answer in time"):
            server.post("CreateCacheEntry", "x", {}, {})


def test_many_threads_read_at_once() -> None:
    with scripted.in_thread(part(0, 200)) as server:
        transport = transport_of(server)
        found: list[bytes] = []

        def read() -> None:
            part = transport.read(server.url, 0, 200)
            found.append(part.content if part else b"")

        threads = [threading.Thread(target=read) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [CONTENT] * 16
