"""Sockets and pipes by which the job's user reaches root or another process's memory. Each is tried."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..system import process

# A user who may connect to one of these can start a container that mounts this machine's disk.
SOCKETS: Final = tuple(
    Path(name)
    for name in (
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
        "/run/crio/crio.sock",
        "/run/cri-dockerd.sock",
        "/run/k3s/containerd/containerd.sock",
        "/run/k3s/cri-dockerd/cri-dockerd.sock",
        "/run/buildkit/buildkitd.sock",
        "/var/lib/lxd/unix.socket",
        "/var/snap/lxd/common/lxd/unix.socket",
        "/var/lib/incus/unix.socket",
        "/run/incus/unix.socket",
        "/run/libvirt/libvirt-sock",
        "/run/libvirt/virtqemud-sock",
    )
)
# The diagnostic port's socket, and the pipes of the debugger. Source: dotnet/diagnostics, ipc-protocol.md.
_DIAGNOSTICS: Final = ("dotnet-diagnostic-", "clr-debug-pipe-")
_DOCKER_PORT: Final = ("127.0.0.1", 2375)


def sockets() -> list[Path]:
    """Sockets of container engines and the like that accept connections from this user, in any directory."""
    names = {path.name for path in SOCKETS}
    elsewhere = [path for path in map(Path, _bound()) if path.name in names and _is_of_root(path)]
    return [path for path in dict.fromkeys([*SOCKETS, *elsewhere]) if _connects(socket.AF_UNIX, str(path))]


def diagnostics() -> list[Path]:
    """Where processes of .NET, such as GitHub's runner, let their user read their memory or change their code.

    A pipe is not opened, since its process would take us for a debugger.
    """
    found = [path for path in map(Path, _bound()) if path.name.startswith(_DIAGNOSTICS[0])]
    usual = [Path("/tmp"), Path(process.inherited().get("TMPDIR") or "/tmp")]  # noqa: S108 - where .NET puts them
    for directory in dict.fromkeys([*usual, *(path.parent for path in found)]):
        found += [path for start in _DIAGNOSTICS for path in directory.glob(f"{start}*")]
    return [path for path in dict.fromkeys(found) if _is_open(path)]


def ports() -> Iterator[str]:
    """A Docker engine that listens without authentication."""
    if _connects(socket.AF_INET, _DOCKER_PORT):
        yield f"a Docker engine answers at {_DOCKER_PORT[0]}:{_DOCKER_PORT[1]}"


def _bound() -> Iterator[str]:
    """Every path that a socket of this machine is bound to."""
    with suppress(OSError):
        for line in Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines():
            if (parts := line.split(maxsplit=7)) and len(parts) == 8 and parts[7].startswith("/"):
                yield parts[7]


def _is_of_root(path: Path) -> bool:
    """False for a user's own engine, which has only that user's rights."""
    with suppress(OSError):
        return path.stat().st_uid == 0
    return False


def _is_open(path: Path) -> bool:
    with suppress(OSError):
        if stat.S_ISFIFO(path.lstat().st_mode):
            return os.access(path, os.R_OK) or os.access(path, os.W_OK)
    return _connects(socket.AF_UNIX, str(path))


def _connects(family: int, address: str | tuple[str, int]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(address)
        except OSError:
            return False
        return True
