"""Ways from the job's user to root, to Nix's store and into the uploader, tried as that user on this machine.

Each is a sentence for the report. Only what is tried or read here is claimed: docs/threat-model.md names the rest.
A process keeps its groups when it leaves them in /etc/group, so the ones that count are those it runs with.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from . import probe
from .system import process

_TIMEOUT: Final = 10.0  # seconds that a program may take to say no
# Each makes its command root's where a policy lets this user, without a password.
_TOOLS: Final = {
    "sudo": ("sudo", "-n", "true"),
    "doas": ("doas", "-n", "true"),
    "pkexec": ("pkexec", "--disable-internal-agent", "true"),
    "systemd-run": ("systemd-run", "--quiet", "--no-ask-password", "--collect", "true"),
}
# Who may talk to one of these can have a container with this machine's disk in it.
SOCKETS: Final = tuple(
    Path(name)
    for name in (
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
        "/run/crio/crio.sock",
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
YAMA: Final = Path("/proc/sys/kernel/yama/ptrace_scope")  # 0: all of one's user may be read, 1: one's descendants
_DOCKER_PORT: Final = ("127.0.0.1", 2375)
_MEMORY = re.compile(r"mem|kmem|port|nvme\d+|sg\d+")
# Where root finds what it runs or believes: whole trees, and directories of which only the entries are looked at.
_TREES: Final = (
    "/boot", "/etc", "/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/lib/systemd", "/usr/local/bin",
    "/usr/local/sbin", "/usr/share/dbus-1", "/usr/share/polkit-1", "/var/spool/cron",
)  # fmt: skip
_ENTRIES: Final = (
    "/", "/usr", "/usr/lib", "/usr/lib64", "/usr/share", "/usr/local", "/usr/local/lib", "/var", "/var/lib", "/root",
)  # fmt: skip
_STORE: Final = ("/nix", "/nix/store", "/nix/var", "/nix/var/nix", "/nix/var/nix/db", "/nix/var/nix/db/db.sqlite")


def becomes_root() -> Iterator[str]:
    """By a tool that grants it, or by rights that this process has."""
    for name, command in _TOOLS.items():
        if shutil.which(name) and (name != "systemd-run" or probe.systemd()) and _succeeds(command):
            yield f"the job's user becomes root by {name}"
    if _capabilities():
        yield "the job's user has capabilities of root"


def sockets() -> list[Path]:
    """Sockets of container engines and the like that take connections from this user."""
    return [path for path in SOCKETS if _connects(socket.AF_UNIX, str(path))]


def diagnostics() -> list[Path]:
    """Where processes of .NET, such as GitHub's runner, let their user read their memory or change their code.

    A pipe is not opened to see: its debugger would be taken for another's.
    """
    found = [path for path in map(Path, _bound()) if path.name.startswith(_DIAGNOSTICS[0])]
    usual = [Path("/tmp"), Path(os.environ.get("TMPDIR") or "/tmp")]  # noqa: S108 - where .NET puts them
    for directory in dict.fromkeys([*usual, *(path.parent for path in found)]):
        found += [path for start in _DIAGNOSTICS for path in directory.glob(f"{start}*")]
    return [path for path in dict.fromkeys(found) if _is_open(path)]


def ports() -> Iterator[str]:
    """A Docker that listens without asking who it is."""
    if _connects(socket.AF_INET, _DOCKER_PORT):
        yield f"a Docker engine answers at {_DOCKER_PORT[0]}:{_DOCKER_PORT[1]}"


def devices() -> list[Path]:
    """Disks and memory that this user can read or write past every permission."""
    found = []
    for directory, _, names in os.walk("/dev"):
        for path in (Path(directory, name) for name in names):
            with suppress(OSError):
                mode = path.lstat().st_mode
                raw = stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and _MEMORY.fullmatch(path.name))
                if raw and (os.access(path, os.R_OK) or os.access(path, os.W_OK)):
                    found.append(path)
    return found


def system_files() -> list[Path]:
    """What this user can write of what root runs or believes."""
    entries = [Path(directory) for directory in _ENTRIES]
    found = [path for path in entries if _changeable(path)]
    for directory in entries[2:]:
        found += [path for path in _list(directory) if _changeable(path) and not _is_scratch(path)]
    for tree in _TREES:
        found += _changeable_below(Path(tree))
    for program in _programs_of_root():
        found += [part for part in (program, *program.parents) if _changeable(part)]
    return list(dict.fromkeys(found))


def store() -> list[Path]:
    """What of Nix's store this user can write."""
    return [path for path in map(Path, _STORE) if _changeable(path)]


def changeable(path: Path) -> Path | None:
    """The first of a path and all directories above it that this user can change, links followed or not."""
    for way in (path.absolute(), Path(os.path.realpath(path))):
        for part in (way, *way.parents):
            if _changeable(part):
                return part
    return None


def interpreter() -> Path | None:
    """What this user can change of the Python that runs this."""
    parts = [Path(sys.executable), *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))]
    return next(filter(None, map(changeable, parts)), None)


def _programs_of_root() -> Iterator[Path]:
    """What processes of root were started from, a script's interpreter and the script: a service may start again."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and entry.stat().st_uid == 0:
                words = (entry / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0")[:2]
                yield from (Path(word) for word in words if word.startswith("/") and Path(word).is_file())


def _changeable(path: Path) -> bool:
    """Whether this user can write it, or could after a chmod. A link is not looked at: what it leads to is."""
    try:
        status = path.lstat()
    except OSError:
        return False
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return False
    if os.access(path, os.W_OK):
        return True
    return status.st_uid == os.geteuid() and not os.statvfs(path).f_flag & os.ST_RDONLY


def _is_scratch(path: Path) -> bool:
    """A directory for everybody's files, such as /var/tmp: nobody can change those of others there."""
    return bool(path.stat().st_mode & stat.S_ISVTX)


def _changeable_below(tree: Path) -> Iterator[Path]:
    if _changeable(tree):
        yield tree
    for directory, directories, files in os.walk(tree):
        for name in (*directories, *files):
            path = Path(directory, name)
            if _changeable(path):
                yield path


def _list(directory: Path) -> Iterable[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _succeeds(command: tuple[str, ...]) -> bool:
    return process.run(command, timeout=_TIMEOUT).status == 0


def _bound() -> Iterator[str]:
    """Every path that a socket of this machine is bound to, whatever the directory."""
    with suppress(OSError):
        for line in Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines():
            if (parts := line.split(maxsplit=7)) and len(parts) == 8 and parts[7].startswith("/"):
                yield parts[7]


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


def _capabilities() -> bool:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in {"CapPrm", "CapEff", "CapAmb"} and int(value, 16):
                return True
    return False


def memory_is_open(*, hardened: bool) -> bool:
    """Whether a process may read the memory of others of its user; hardening ends that where the kernel has Yama."""
    if not YAMA.exists():
        return sys.platform == "linux"
    return hardened and YAMA.read_text().strip() == "0"
