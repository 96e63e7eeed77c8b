"""The user at the other end of a connection, and whether Nix serves that user."""

import os
import socket

import pytest

from nix_autocache.uploader.read_proxy import launch, peers


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_user_of_a_connection_is_known_while_it_lasts(family: socket.AddressFamily) -> None:
    with launch.listen(0) as listening, socket.socket(family) as client:
        host = "127.0.0.1" if family == socket.AF_INET else "::ffff:127.0.0.1"
        client.connect((host, listening.getsockname()[1]))
        accepted, _ = listening.accept()
        addresses = accepted.getpeername(), accepted.getsockname()
        with accepted:
            assert peers.user_of(accepted) == os.geteuid()
            assert peers._of_tables(*addresses) == os.geteuid()
            client.close()
            assert peers.user_of(accepted) is None
            assert peers._of_tables(*addresses) is None


@pytest.mark.parametrize(
    ("allowed", "trusted", "may"),
    [
        ("*", "root", True),
        ("root", "root", False),
        ("root nobody", "root", True),
        ("root", "nobody", True),
        ("@GROUP", "root", True),
        ("@users-of-another-machine", "", False),
        ("nobod", "", False),
    ],
)
def test_who_may_use_nix_may_read(allowed: str, trusted: str, may: bool) -> None:
    import grp
    import pwd

    nobody = pwd.getpwnam("nobody")
    group = grp.getgrgid(nobody.pw_gid).gr_name
    settings = {"allowed-users": allowed.replace("GROUP", group), "trusted-users": trusted}
    assert peers._is_allowed(nobody.pw_uid, settings) is may
