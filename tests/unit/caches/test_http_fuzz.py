"""Answers of a cache, wrong in any byte: what is asked is answered, absent, or an error of ours."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nix_autocache.caches.http import HttpCache, open_http
from nix_autocache.caches.protocol import Access
from nix_autocache.errors import Error
from nix_autocache.nix.store import Nix, PathInfo, StorePath
from nix_autocache.nix.store_url import parse_cache_url
from tests.harness.soak import seeds

PATH = StorePath("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x")
INFO = PathInfo(PATH, "", (), f"sha256:{'0' * 52}", 5, "", ())
GOOD = f"StorePath: {PATH}\nURL: nar/x.nar\nCompression: none\nNarHash: {INFO.nar_hash}\nNarSize: 5\nReferences: \n"
LINE = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 9" + b"9" * 30, b"Content-Length: x",
         b"Transfer-Encoding: chunked", b"Location: /", b"Location: http://[", b"Location: ", b"Retry-After: \xb2",
         b"Retry-After: " + b"9" * 400, b"Retry-After: Mon, 99 Foo 99999 99:99:99 GMT", b"Connection: close",
         b"Content-Encoding: gzip"]
    ),
)  # fmt: skip
STATUS = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([200, 404, 403, 100, 301, 302, 307, 308, 429, 503, 416, 999, 0]).map(
        lambda s: b"HTTP/1.1 %d x" % s
    ),
)
BODY = st.one_of(
    st.binary(max_size=40), st.sampled_from([b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffff\r\nx", b"-1\r\n", GOOD.encode()])
)
ANSWERS = st.builds(
    lambda s, lines, body: b"\r\n".join([s, *lines, b"", body]), STATUS, st.lists(LINE, max_size=3), BODY
)


@dataclass
class Odd:
    """A server that answers each connection with the same bytes, and hangs up."""

    port: int
    said: bytes = b""
    sockets: list[socket.socket] = field(default_factory=list)


@pytest.fixture(scope="module")
def odd() -> Iterator[Odd]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Odd(server.getsockname()[1])

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(0.5)
                        connection.recv(1 << 16)
                        connection.sendall(made.said)

        threading.Thread(target=serve, daemon=True).start()
        yield made
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def cache(odd: Odd) -> HttpCache:
    return open_http(parse_cache_url(f"http://127.0.0.1:{odd.port}/c"), Access({}, Nix(Path("/absent")), None))


@pytest.mark.soak
@settings(max_examples=seeds(500))
@given(ANSWERS)
@pytest.mark.slow
def test_any_answer_is_an_objects_or_an_error_of_ours(odd: Odd, cache: HttpCache, said: bytes) -> None:
    odd.said = said
    for ask in (
        lambda: cache.get("nix-cache-info"),
        lambda: cache.get_many(["a.narinfo", "b.narinfo"]),
        lambda: cache.put("a.narinfo", b"x", "text/plain"),
        lambda: cache.put("nar/a", iter([b"x"]), "text/plain"),
        lambda: [list(content.pieces) for content in [cache.open("nar/a")] if content],
    ):
        with suppress(Error):
            ask()
