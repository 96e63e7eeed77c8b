"""The user at the other end of a TCP connection on this machine, and whether that user may use Nix here.

A port of 127.0.0.1 is open to all users and containers that share the network, but the read proxy may serve private
paths. Linux knows the user of each connection; elsewhere every user may read.
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

UNKNOWN: Final = -1  # the id of a user that this machine does not tell
_TABLES: Final = ((Path("/proc/net/tcp"), ""), (Path("/proc/net/tcp6"), "0000000000000000FFFF0000"))
_ESTABLISHED: Final = "01"
_SOCK_DIAG: Final = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST: Final = 1  # NLM_F_REQUEST
_ANY_STATE: Final = 0xFFFFFFFF
_NO_COOKIE: Final = (0xFFFFFFFF, 0xFFFFFFFF)
_DAEMON: Final = Path("/nix/var/nix/daemon-socket/socket")
_NIX_CONF: Final = Path("/etc/nix")
_SETTINGS: Final = ("allowed-users", "trusted-users")
_CACHED: Final = 60.0  # seconds for which the answer for a user is kept


def user_of(connection: socket.socket) -> int | None:
    """The id of the user who made an IPv4 connection, None if it has ended."""
    if sys.platform != "linux":
        return UNKNOWN
    try:
        theirs, ours = connection.getpeername(), connection.getsockname()
    except OSError:
        return None
    try:
        return _of_netlink(theirs, ours)
    except OSError:  # systemd can forbid netlink sockets to a service
        return _of_tables(theirs, ours)


def _of_netlink(theirs: tuple[str, int], ours: tuple[str, int]) -> int | None:
    """Ask the kernel for one connection, see sock_diag(7) and linux/inet_diag.h. Raises OSError."""
    if sys.platform != "linux":
        raise OSError("only Linux has netlink sockets")
    addresses = (struct.pack("!4s12x", socket.inet_aton(host)) for host, _ in (theirs, ours))
    sockets = struct.pack("!HH", theirs[1], ours[1]) + b"".join(addresses) + struct.pack("=III", 0, *_NO_COOKIE)
    request = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, _ANY_STATE) + sockets
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
    return user if inode else None  # the kernel names root for a socket that was closed


def _of_tables(theirs: tuple[str, int], ours: tuple[str, int]) -> int | None:
    """Search the tables of all connections, which takes milliseconds if there are thousands."""
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
    return UNKNOWN if unreadable == len(_TABLES) else None


def _address(host: str, port: int) -> str:
    """As in /proc/net/tcp, where the address is a number in this machine's byte order."""
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return f"{number:08X}:{port:04X}"


class AllowedUsers:
    """The users who may read: root, our own, and those in Nix's `allowed-users` and `trusted-users`."""

    def __init__(self, nix: Nix) -> None:
        self._nix = nix
        self._lock = threading.Lock()
        self._answers: dict[int, tuple[float, bool]] = {}  # with the time of each

    def is_always_allowed(self, user: int) -> bool:
        """True if Nix need not be asked."""
        return user in {0, os.geteuid(), UNKNOWN}

    def may_read(self, user: int) -> bool:
        if self.is_always_allowed(user):
            return True
        with self._lock:
            since, answer = self._answers.get(user, (float("-inf"), False))
            if time.monotonic() - since > _CACHED:
                answer = _is_allowed(user, _settings(self._nix)) if _DAEMON.exists() else False
                self._answers[user] = time.monotonic(), answer
            return answer


def _settings(nix: Nix) -> Mapping[str, str]:
    """As Nix reports them, or from nix.conf: a user may have used up the processes, so that no Nix can be started."""
    written = {name: value for name in _SETTINGS if (value := NixConf(_NIX_CONF).foreign_value(name)) is not None}
    return effective.of_machine(nix) or written


def _is_allowed(user: int, settings: Mapping[str, str]) -> bool:
    """Decide as the nix-daemon does. A user without a name is only allowed by `*`."""
    listed = f"{settings.get('allowed-users', '*')} {settings.get('trusted-users', '')}".split()
    return "*" in listed or not set(listed).isdisjoint(_names(user))


def _names(user: int) -> Iterator[str]:
    with suppress(KeyError):
        entry = pwd.getpwuid(user)
        yield entry.pw_name
        for group in os.getgrouplist(entry.pw_name, entry.pw_gid):
            with suppress(KeyError):
                yield f"@{grp.getgrgid(group).gr_name}"
