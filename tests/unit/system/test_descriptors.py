"""A socket that one process opens and another serves."""

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
