"""HTTP/1.1 as it comes over a connection."""

import socket
import threading
from contextlib import suppress

import pytest

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
