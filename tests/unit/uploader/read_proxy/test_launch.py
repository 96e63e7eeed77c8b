"""The read proxy's socket, before its process is there."""

import http.client
import socket

import pytest

from nix_autocache.uploader.read_proxy import launch


def test_nothing_is_in_the_cache_until_its_reader_is_there() -> None:
    waiting = launch.Placeholder(launch.listen(0))
    try:
        for _ in range(2):
            connection = http.client.HTTPConnection("127.0.0.1", waiting.address.port, timeout=5)
            connection.request("GET", "/nix-cache-info")
            assert connection.getresponse().status == 404
            connection.close()
        with pytest.raises(OSError, match="in use"), socket.socket() as another:
            another.bind(("127.0.0.1", waiting.address.port))
    finally:
        waiting.end()
