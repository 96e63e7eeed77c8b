"""The benchmark's server that thinks does so once for each request, however its bytes arrive."""

import pytest

from tests.harness.requests import Requests

REQUESTS = [
    b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n",
    b"PUT /c HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
    b"PUT /e HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    b"HEAD /f HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("size", range(1, 60))
def test_each_request_ends_once(size: int) -> None:
    requests, stream = Requests(), b"".join(REQUESTS)
    found, pending = [], b""
    for start in range(0, len(stream), size):
        for piece, ends in requests.split(stream[start : start + size]):
            pending += piece
            if ends:
                found.append(pending)
                pending = b""
    assert found == REQUESTS
    assert not pending
