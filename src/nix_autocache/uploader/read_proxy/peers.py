"""Who is at the other end of a TCP connection on this machine, and whether that user may use Nix here.

For the local reader: a port of 127.0.0.1 is open to every user and container that shares the network, and what it
serves may be private. Linux tells the user of each connection; elsewhere nobody is told apart.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...nix import effective
from ...nix.conf import NixConf
from ...nix.store import Nix

ANYBODY: Final = -1  # the number of a user that cannot be told
_TABLES: Final = ((Path("/proc/net/tcp"), ""), (Path("/proc/net/tcp6"), "0000000000000000FFFF0000"))
_ESTABLISHED: Final = "01"
_SOCK_DIAG: Final = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST: Final = 1  # NLM_F_REQUEST
_ANY_STATE: Final = 0xFFFFFFFF
_NO_COOKIE: Final = (0xFFFFFFFF, 0xFFFFFFFF)
_DAEMON: Final = Path("/nix/var/nix/daemon-socket/socket")
_NIX_CONF: Final = Path("/etc/nix")
_WHO: Final = ("allowed-users", "trusted-users")
_FRESH: Final = 60.0  # seconds that the answer for a user stands


def user_of(connection: socket.socket) -> int | None:
    """The number of the user who made a connection over IPv4, None where it is gone already."""
    if sys.platform != "linux":
        return ANYBODY
    try:
        theirs, ours = connection.getpeername(), connection.getsockname()
    except OSError:
        return None
    try:
        return _asked(theirs, ours)
    except OSError:  # a service may be kept from such sockets
        return _looked_up(theirs, ours)


def _asked(theirs: tuple[str, int], ours: tuple[str, int]) -> int | None:
    """The kernel's own answer for one connection, see sock_diag(7) and linux/inet_diag.h. Raises OSError."""
    addresses = (struct.pack("!4s12x", socket.inet_aton(host)) for host, _ in (theirs, ours))
    asked = struct.pack("!HH", theirs[1], ours[1]) + b"".join(addresses) + struct.pack("=III", 0, *_NO_COOKIE)
    request = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, _ANY_STATE) + asked
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        kernel.send(struct.pack("=IHHII", 16 + len(request), _BY_FAMILY, _REQUEST, 0, 0) + request)
        answer = kernel.recv(4096)
    (kind,) = struct.unpack_from("=4xH", answer)
    if kind != _BY_FAMILY:
        (code,) = struct.unpack_from("=i", answer, 16)
        if code == -errno.ENOENT:
            return None
        raise OSError(-code, os.strerror(-code))
    user, inode = struct.unpack_from("=II", answer, 16 + 64)
    return user if inode else None  # a socket that its owner has closed shows root as its user


def _looked_up(theirs: tuple[str, int], ours: tuple[str, int]) -> int | None:
    """The same from the tables of all connections, which takes milliseconds where there are thousands."""
    unreadable = 0
    for table, prefix in _TABLES:
        try:
            text = table.read_text(encoding="ascii")
        except OSError:
            unreadable += 1
            continue
        wanted = f" {prefix}{_address(*theirs)} {prefix}{_address(*ours)} {_ESTABLISHED} "
        if (start := text.find(wanted)) >= 0:
            fields = text[start:].partition("\n")[0].split()
            return int(fields[6]) if fields[8] != "0" else None
    return ANYBODY if unreadable == len(_TABLES) else None


def _address(host: str, port: int) -> str:
    """As the kernel prints it: an address as a number of this machine's byte order."""
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return f"{number:08X}:{port:04X}"


class Readers:
    """The users who may read: root, our own, and those whom Nix's `allowed-users` lets use it."""

    def __init__(self, nix: Nix) -> None:
        self._nix = nix
        self._lock = threading.Lock()
        self._known: dict[int, tuple[float, bool]] = {}

    def may_read(self, user: int) -> bool:
        if user in {0, os.geteuid(), ANYBODY}:
            return True
        with self._lock:
            since, answer = self._known.get(user, (float("-inf"), False))
            if time.monotonic() - since > _FRESH:
                answer = _is_allowed(user, _settings(self._nix)) if _DAEMON.exists() else False
                self._known[user] = time.monotonic(), answer
            return answer


def _settings(nix: Nix) -> Mapping[str, str]:
    """As Nix says, or else its files: any user may use up the processes, so that no Nix can be started to ask."""
    written = {name: value for name in _WHO if (value := NixConf(_NIX_CONF).value(name)) is not None}
    return effective.of_machine(nix) or written


def _is_allowed(user: int, settings: Mapping[str, str]) -> bool:
    """As the nix-daemon decides. A user without a name is none that it could be told of but by `*`."""
    listed = f"{settings.get('allowed-users', '*')} {settings.get('trusted-users', '')}".split()
    return "*" in listed or not set(listed).isdisjoint(_names(user))


def _names(user: int) -> Iterator[str]:
    with suppress(KeyError):
        entry = pwd.getpwuid(user)
        yield entry.pw_name
        for group in os.getgrouplist(entry.pw_name, entry.pw_gid):
            with suppress(KeyError):
                yield f"@{grp.getgrgid(group).gr_name}"
