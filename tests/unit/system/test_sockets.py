"""Addresses of sockets at long paths, and the user at the other end, with the layouts of Linux and macOS."""

import os
import socket
import sys
from pathlib import Path

import pytest

from nix_autocache.system import sockets

LIMITS = {"linux": 107, "darwin": 103}  # sun_path without its NUL
XUCRED = b"\0\0\0\0\xf5\x01\0\0\2\0\0\0\x14\0\0\0\x50\0\0\0" + bytes(14 * 4)


class MacSocket:
    """A connection whose credentials are asked for as on macOS."""

    def __init__(self, found: bytes) -> None:
        self.found = found

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option, size) == (0, 1, len(XUCRED)), "SOL_LOCAL, LOCAL_PEERCRED, sizeof(struct xucred)"
        return self.found


@pytest.mark.parametrize("platform", LIMITS)
@pytest.mark.parametrize("length", [*range(102, 112), 300])
def test_a_socket_is_reached_at_a_path_of_any_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, length: int
) -> None:
    path = tmp_path
    while length - len(os.fsencode(path)) > 200:
        path /= "d" * 100
    path /= "d" * (length - len(os.fsencode(path)) - len("//s"))
    path.mkdir(parents=True)
    path /= "s"
    assert len(os.fsencode(path)) == length
    monkeypatch.setattr(sys, "platform", platform)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with sockets.at(path) as address:
            assert len(os.fsencode(address)) <= LIMITS[platform]
            server.bind(address)
        server.listen(1)
        with sockets.at(path) as address:
            client.connect(address)
    assert path.is_socket()
    if address != str(path):
        assert not os.path.lexists(os.path.dirname(address)), "the short way is removed"


def test_nobody_else_may_change_the_short_way_to_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    before = os.umask(0)
    try:
        with sockets.at(tmp_path / ("d" * 100) / "s") as address:
            short = Path(address).parents[1]
            assert (short.stat().st_mode & 0o7777, short.stat().st_uid) == (0o700, os.geteuid())
    finally:
        os.umask(before)


def test_linux_says_who_is_at_the_other_end() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert sockets.peer(ours) == os.geteuid()


@pytest.mark.skipif(sys.byteorder != "little", reason="the bytes are those of a Mac, which is little-endian")
def test_macos_says_who_is_at_the_other_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    connection: socket.socket = MacSocket(XUCRED)  # type: ignore[assignment]
    assert sockets.peer(connection) == 501
    of_another_version: socket.socket = MacSocket(b"\1" + XUCRED[1:])  # type: ignore[assignment]
    with pytest.raises(OSError, match="version 1 of struct xucred"):
        sockets.peer(of_another_version)
