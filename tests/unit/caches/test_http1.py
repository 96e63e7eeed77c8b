"""HTTP/1.1 as it comes over a connection."""

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from itertools import product

import pytest

from nix_autocache.caches.http1 import Connection
from nix_autocache.caches.origin import Origin
from nix_autocache.caches.pool import Pool

HEADS = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "answers before the answer": (b"HTTP/1.1 100 Continue\r\n", b"\r\nHTTP/1.1 100 Continue\r\n"),
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_that_does_not_end_is_no_answer(kind: str) -> None:
    first, line = HEADS[kind]
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(first)
                while True:
                    connection.sendall(line * 1000)

        threading.Thread(target=serve, daemon=True).start()
        connections = Pool(Origin(f"http://127.0.0.1:{server.getsockname()[1]}/", {}))
        with pytest.raises(OSError, match="not HTTP"):
            connections.use_new(lambda connection: connection.response())


FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfake!"
RESPONSES = {
    "plain": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", (200, b"abc")),
    "empty": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", (404, b"")),
    "chunked": (b"HTTP/1.1 404 Gone\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", (404, b"abc")),
    "with a trailer": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n",
        (200, b"abc"),
    ),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", (200, b"a")),
    "no headers": (b"HTTP/1.1 304 Not Modified\r\n\r\n", (304, b"")),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 4\n\n\r\n\r\n", (200, b"\r\n\r\n")),
    "mixed": (b"HTTP/1.1 200 OK\nA: b\r\nContent-Length: 1\n\nx", (200, b"x")),
    "like a head": (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(FORGED), FORGED),
        (200, FORGED),
    ),
}


def responses(pieces: Iterable[bytes], count: int) -> list[tuple[int, bytes]]:
    """What a connection makes of pieces that arrive one after the other."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection, found = Connection(ours), []
        ours.settimeout(5)

        def send() -> None:
            for piece in pieces:
                theirs.sendall(piece)

        sending = threading.Thread(target=send)
        sending.start()
        for _ in range(count):
            response = connection.response()
            found.append((response.status, response.content))
        sending.join()
    return found


@pytest.mark.parametrize("first", RESPONSES)
def test_each_of_several_responses_ends_where_the_next_begins(first: str) -> None:
    """Wherever they are cut: an answer that is taken for another path's could be planted."""
    for second in RESPONSES:
        row = [RESPONSES[first], RESPONSES[second], RESPONSES["plain"]]
        whole, expected = b"".join(text for text, _ in row), [answer for _, answer in row]
        assert responses([whole], 3) == expected, second
        assert responses([bytes([byte]) for byte in whole], 3) == expected, second


@pytest.mark.parametrize(("first", "second"), [*product(["chunked", "with a trailer", "plain"], repeat=2)])
def test_responses_may_be_cut_anywhere(first: str, second: str) -> None:
    row = [RESPONSES[first], RESPONSES[second]]
    whole, expected = b"".join(text for text, _ in row), [answer for _, answer in row]
    for cut in range(1, len(whole)):
        assert responses([whole[:cut], whole[cut:]], 2) == expected, cut
