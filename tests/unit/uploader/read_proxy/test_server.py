"""The read proxy against other users of the machine: connections that are held, requests that are wrong."""

import http.client
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from nix_autocache.caches.http_status import INFO
from nix_autocache.caches.protocol import Content
from nix_autocache.errors import CacheBusy, CacheError
from nix_autocache.nix.store import Nix
from nix_autocache.uploader.read_proxy import connections, elsewhere, launch
from nix_autocache.uploader.read_proxy.ahead import ObjectsAhead
from nix_autocache.uploader.read_proxy.index import Index
from nix_autocache.uploader.read_proxy.objects import CacheObjects
from nix_autocache.uploader.read_proxy.peers import AllowedUsers
from nix_autocache.uploader.read_proxy.server import ReadServer
from nix_autocache.uploader.read_proxy.signatures import Signatures
from nix_autocache.uploader.read_proxy.spool import Spool
from tests.harness.soak import seeds
from tests.harness.waiting import wait_for

NONCE = "0123456789abcdef"  # of this job
NARINFO = "0123456789abcdfghijklmnpqrsvwxyz.narinfo"
ARCHIVE = "nar/0123456789abcdfghijklmnpqrsvwxyz.nar"
ENDLESS = "nar/endless"
SHORT = "nar/short"  # has less than it says


class Cache:
    """A cache that counts what it is asked."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.groups: list[int] = []
        self.error: Exception | None = None
        self.whole = True  # whether the error is for every object
        self.together = 1
        self.asked = 0  # how often for one object
        self.answers = threading.Event()  # cleared while answers wait
        self.answers.set()

    def open_connections(self, count: int) -> None: ...

    def close_connections(self) -> None: ...

    def get(self, name: str) -> bytes | None:
        if self.error and (self.whole or name != INFO):
            raise self.error
        self.asked += 1
        self.answers.wait(10)
        if name.startswith("0000"):
            return f"StorePath: /{name[:32]}-x\n".encode()
        return b"StorePath: x\n" if name == NARINFO else None

    def get_many(self, names: Sequence[str]) -> dict[str, bytes | None]:
        self.groups.append(len(names))
        return {name: f"StorePath: /{name[:32]}-x\n".encode() for name in names}

    def open(self, name: str) -> Content | None:
        self.opened.append(name)
        if self.error:
            raise self.error
        if name == ENDLESS:
            return Content(None, iter(lambda: bytes(100_000), None))
        if name == SHORT:
            return Content(7, iter([b"short"]))
        return Content(None, iter([b"some ", b"", b"content"])) if name == ARCHIVE else None

    def exists(self, name: str) -> bool:
        return name in {NARINFO, ARCHIVE}


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def port(cache: Cache, tmp_path: Path) -> Iterator[int]:
    listening = launch.listen(0)
    objects = CacheObjects(cache, str)  # type: ignore[arg-type]
    ahead = ObjectsAhead(objects, Spool(tmp_path), tmp_path, Index(Signatures("/nix/store", [])))
    server = ReadServer(listening, ahead, AllowedUsers(Nix(Path("/"))), NONCE)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield listening.getsockname()[1]
    server.shutdown()
    server.server_close()


def ask(port: int, name: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, f"/{NONCE}/{name}")
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def test_another_jobs_place_has_nothing(port: int) -> None:
    """Nix remembers for an hour what a URL did not have, and an earlier job's proxy may have had this port."""
    for path in (NARINFO, f"abc/{NARINFO}", f"{NONCE}{NARINFO}", f"{NONCE}/../{NONCE}/{NARINFO}", NONCE):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", f"/{path}")
        assert connection.getresponse().status == 404
        connection.close()


def test_what_is_there_is_served_whether_its_size_is_known_or_not(port: int) -> None:
    assert ask(port, NARINFO) == (200, b"StorePath: x\n")
    assert ask(port, ARCHIVE) == (200, b"some content")
    assert ask(port, "nar/gone") == (404, b"")


def test_who_was_promised_more_than_there_is_does_not_wait_for_it(port: int) -> None:
    with pytest.raises(http.client.IncompleteRead):
        ask(port, SHORT)


def test_a_head_of_an_archive_does_not_begin_to_read_it(port: int, cache: Cache) -> None:
    assert ask(port, ARCHIVE, "HEAD") == (200, b"")
    assert ask(port, "nar/gone", "HEAD") == (404, b"")
    assert cache.opened == []


@pytest.mark.parametrize(
    "name", ["nar/..", "nar/.", "nar/.hidden", "../x", "nar/a/b", "x", "", "%2e%2e/x", "nar/%2e%2e", "nar/a%00"]
)
def test_what_nix_does_not_ask_for_is_not_asked_of_the_cache(
    port: int, cache: Cache, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        assert ask(port, name)[0] == 404
    assert cache.opened == []
    assert capfd.readouterr().err == ""


def test_nothing_that_goes_wrong_is_more_than_a_miss_and_a_line(
    port: int, cache: Cache, capfd: pytest.CaptureFixture[str]
) -> None:
    cache.error = ValueError("not ours\nand long")
    for _ in range(20):
        assert ask(port, ARCHIVE) == (404, b"")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert b"400" in connection.recv(1000)
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_trouble_with_one_object_does_not_close_the_cache_and_trouble_with_the_cache_does(
    port: int, cache: Cache
) -> None:
    cache.error = CacheError("this one may not be read")
    assert ask(port, NARINFO)[0] == 404
    cache.error = None
    assert ask(port, NARINFO)[0] == 200
    cache.error, cache.whole = CacheBusy("it leads to nowhere"), False
    assert [ask(port, ARCHIVE)[0], ask(port, NARINFO)[0]] == [404, 404]
    cache.error, cache.whole = None, True
    assert ask(port, NARINFO)[0] == 200
    cache.error = CacheBusy("503")
    assert ask(port, NARINFO)[0] == 404
    cache.error = None
    assert ask(port, NARINFO)[0] == 404


def test_requests_are_answered_in_order_however_they_are_cut(port: int) -> None:
    """Nix sends one at a time and whole; others need not."""
    chance = random.Random(0)
    requests = "".join(f"GET /{NONCE}/{name} HTTP/1.1\r\nHost: x\r\n\r\n" for name in (NARINFO, "nar/gone", ARCHIVE))
    answers = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nStorePath: x\nHTTP/1.1 404 Not Found\r\n"
    for _ in range(seeds(200)):
        cuts = sorted(chance.sample(range(1, len(requests)), chance.randint(0, 4)))
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            for start, end in pairwise([0, *cuts, len(requests)]):
                connection.sendall(requests[start:end].encode())
            received = b""
            while not received.endswith(b"content\r\n0\r\n\r\n"):
                piece = connection.recv(1000)
                assert piece, received
                received += piece
            assert received.startswith(answers)
            assert received.count(b"HTTP/1.1 ") == 3


def test_many_who_ask_at_once_are_asked_for_together_and_each_has_its_own_answer(port: int, cache: Cache) -> None:
    cache.together = 8
    with ExitStack() as held:
        clients = [held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(60)]
        for turn in range(3):
            names = [f"{turn:016d}{number:016d}" for number in range(len(clients))]
            for client, name in zip(clients, names, strict=True):
                client.sendall(f"GET /{NONCE}/{name}.narinfo HTTP/1.1\r\n\r\n".encode())
            answers = [client.recv(1000) for client in clients]
            assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [
                f"StorePath: /{name}-x\n".encode() for name in names
            ]
    assert 1 < max(cache.groups) <= 8


def test_while_much_is_asked_a_question_waits_a_moment_for_others(
    port: int, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each alone would cost a change of threads and a connection. Nobody waits for long, and nobody for ever."""
    monkeypatch.setattr(elsewhere, "_MANY", 0)
    monkeypatch.setattr(elsewhere, "_GATHERING", 0.3)
    cache.together = 8
    cache.answers.clear()
    with ExitStack() as held:
        clients = [held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(6)]
        for number, client in enumerate(clients):
            client.sendall(f"GET /{NONCE}/{number:032d}.narinfo HTTP/1.1\r\n\r\n".encode())
            if not number:
                wait_for(lambda: cache.asked > 0, "the first question, which waits for no other")
            time.sleep(0.01)
        wait_for(lambda: bool(cache.groups), "the others together")
        cache.answers.set()
        for client in clients:
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert cache.groups == [5]


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 70_000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000])
def test_a_request_without_an_end_is_hung_up_on(port: int, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        with suppress(OSError):
            connection.sendall(head)
        wait_for(lambda: _is_closed(connection), "the end of the connection")


def test_who_takes_nothing_or_hangs_up_keeps_nobody_from_being_answered(port: int) -> None:
    asked = f"GET /{NONCE}/{ENDLESS} HTTP/1.1\r\n\r\n".encode()
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    for connection in held:
        connection.sendall(asked)
    for connection in held[::2]:
        connection.recv(1000)
        connection.close()
    assert ask(port, NARINFO)[0] == 200
    answering = [thread for thread in threading.enumerate() if thread.name == "answer"]
    assert len(answering) >= 20, "those that still wait"
    for connection in held:
        connection.close()
    assert ask(port, ARCHIVE) == (200, b"some content")


@pytest.mark.slow
def test_connections_that_say_nothing_keep_nobody_from_being_answered(port: int) -> None:
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections.PER_USER + 50)]
    for connection in held[::2]:
        connection.sendall(b"GET /")
    assert ask(port, NARINFO)[0] == 200
    wait_for(lambda: sum(_is_closed(connection) for connection in held) >= 50, "the end of the oldest")
    for connection in held:
        connection.close()


def test_who_does_not_say_what_they_want_is_hung_up_on(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_FIRST_REQUEST", 0.1)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /nix")
        wait_for(lambda: _is_closed(connection), "the end of the connection")


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
