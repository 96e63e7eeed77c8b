"""A socket that is taken in one process and served in another."""

import http.client
import socket
from pathlib import Path

import pytest

from nix_autocache.system.descriptors import offered, received
from nix_autocache.uploader.read_proxy import launch


def test_a_descriptor_is_handed_to_whoever_knows_the_path_once() -> None:
    with launch.listen(0) as listening:
        with offered(listening.fileno()) as path:
            assert Path(path).parent.stat().st_mode & 0o777 == 0o700
            with socket.socket(fileno=received(path)) as copy:
                assert copy.getsockname() == listening.getsockname()
        with pytest.raises(OSError, match="No such file"):
            received(path)


def test_nothing_is_in_the_cache_until_its_reader_is_there() -> None:
    waiting = launch.Waiting(launch.listen(0))
    try:
        for _ in range(2):
            connection = http.client.HTTPConnection("127.0.0.1", waiting.port, timeout=5)
            connection.request("GET", "/nix-cache-info")
            assert connection.getresponse().status == 404
            connection.close()
        with pytest.raises(OSError, match="in use"), socket.socket() as another:
            another.bind(("127.0.0.1", waiting.port))
    finally:
        waiting.end()
