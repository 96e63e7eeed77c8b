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

from ..system import probe, process
from . import unattended

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
YAMA: Final = Path("/proc/sys/kernel/yama/ptrace_scope")  # 0: all of one's user may be read, 1: one's descendants
_DOCKER_PORT: Final = ("127.0.0.1", 2375)
_MEMORY = re.compile(r"mem|kmem|port|nvme\d+|ng\d+n\d+|sg\d+|bsg/.+|mtd\d+")
# Where root finds what it runs or believes: whole trees, and directories of which only the entries are looked at.
_TREES: Final = (
    "/boot", "/etc", "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/lib/systemd", "/usr/local/bin",
    "/usr/local/sbin", "/usr/local/lib/systemd", "/usr/lib/udev", "/usr/share/dbus-1", "/usr/share/polkit-1",
    "/var/spool/cron", "/run/systemd/system", "/run/udev/rules.d",
)  # fmt: skip
_ENTRIES: Final = (
    "/", "/usr", "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share", "/usr/local", "/usr/local/lib", "/var",
    "/var/lib", "/root",
)  # fmt: skip
# Where processes of root take code from beside their own files, as lists of paths.
_CODE: Final = frozenset(
    {
        "BASH_ENV",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "NODE_PATH",
        "PATH",
        "PERL5LIB",
        "PYTHONHOME",
        "PYTHONPATH",
        "RUBYLIB",
    }
)
_LINKS: Final = 40  # on the way to one path, as Linux follows
_STORE: Final = ("/nix", "/nix/store", "/nix/var", "/nix/var/nix", "/nix/var/nix/db", "/nix/var/nix/db/db.sqlite")


def becomes_root() -> Iterator[str]:
    """By a tool that grants it, or by rights that this process has."""
    for name, command in _TOOLS.items():
        if shutil.which(name) and (name != "systemd-run" or probe.systemd()) and _succeeds(command):
            yield f"the job's user becomes root by {name}"
    if probe.sudo_for_some():
        yield "the job's user may run commands as another user by sudo, without a password"
    if _capabilities():
        yield "the job's user has capabilities of root"


def sockets() -> list[Path]:
    """Sockets of container engines and the like that take connections from this user, also where they are not usual."""
    names = {path.name for path in SOCKETS}
    elsewhere = [path for path in map(Path, _bound()) if path.name in names and _is_of_root(path)]
    return [path for path in dict.fromkeys([*SOCKETS, *elsewhere]) if _connects(socket.AF_UNIX, str(path))]


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
                raw = stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and _MEMORY.fullmatch(str(path.relative_to("/dev"))))
                if raw and (os.access(path, os.R_OK) or os.access(path, os.W_OK)):
                    found.append(path)
    return found


def system_files(programs: Iterable[str]) -> list[Path]:
    """What this user can write of what root runs or believes. `programs` are those that root found, see there."""
    entries = [path for path in map(Path, _ENTRIES) if not path.is_symlink()]  # a merged /lib is /usr's
    found = [path for path in entries if _changeable(path)]
    for directory in entries[2:]:
        found += [path for path in _list(directory) if _changeable(path) and not _is_scratch(path)]
    for tree in map(Path, _TREES):
        found += [] if tree.is_symlink() else _changeable_below(tree)
    for program in map(Path, dict.fromkeys([*programs, *programs_of_root()])):
        found += [part for part in way(program) if _changeable(part)]
    return list(dict.fromkeys(found))


def store() -> list[Path]:
    """What of Nix's store this user can write."""
    return [path for path in map(Path, _STORE) if _changeable(path)]


def changeable(path: Path) -> Path | None:
    """The last thing on the way to a path that this user can change: the path itself, or a directory before it."""
    found = [part for part in way(path) if _changeable(part)]
    return found[-1] if found else None


def way(path: Path) -> Iterator[Path]:
    """Everything on the way to a path, from the root on: each directory, each link as such, and what it leads to.

    Whoever may write a directory on it can turn round the link in there, or put another file in the place of one.
    """
    here, rest, links = Path("/"), list(reversed(path.absolute().parts[1:])), 0
    yield here
    while rest:
        here = Path(os.path.normpath(here / rest.pop()))
        yield here
        with suppress(OSError):
            target = Path(os.readlink(here))
            links += 1
            if links > _LINKS:
                return
            rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            here = Path("/") if target.is_absolute() else here.parent


def interpreter() -> Path | None:
    """What this user can change of the Python that runs this."""
    return next(filter(None, map(changeable, parts_of_python())), None)


def parts_of_python() -> list[Path]:
    """The Python that runs this, and its library."""
    return [Path(sys.executable), *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))]


def programs_of_root() -> list[str]:
    """What root starts by itself, what its processes were started from, and where they take code from: they may start
    again.

    Every word of a command line may name one, also as `--option=FILE`. Only root sees where a relative one lies, the
    program itself, and the variables. Who asks, and what started that, is left out.
    """
    found = dict.fromkeys(unattended.programs())
    asking = set(_ancestors(os.getpid()))
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) not in asking:
            with suppress(OSError):
                if entry.stat().st_uid == 0:
                    found.update(dict.fromkeys(_started_from(entry)))
    return list(found)


def _started_from(entry: Path) -> Iterator[str]:
    directory, program = "/", ""
    with suppress(OSError):
        directory, program = os.readlink(entry / "cwd"), os.readlink(entry / "exe")
        yield program
    for word in _texts(entry / "cmdline"):
        for name in (word, word.partition("=")[2]):
            path = os.path.join(directory, name)
            if name and os.path.isfile(path):
                yield path
    if _is_set_user_id(program):  # as sudo, which has the variables of who called it, and heeds none of these
        return
    for name, _, value in (text.partition("=") for text in _texts(entry / "environ")):
        if name in _CODE:
            yield from (os.path.join(directory, part) for part in value.split(":") if part)


def _is_set_user_id(program: str) -> bool:
    with suppress(OSError):
        return bool(os.stat(program).st_mode & stat.S_ISUID)
    return False


def _texts(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_bytes().decode(errors="surrogateescape").split("\0")
    return []


def _ancestors(pid: int) -> Iterator[int]:
    """A process and those that started it."""
    while pid:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return


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
    """With what links in there lead to, and what is on the way there."""
    if _changeable(tree):
        yield tree
    seen = set()
    for directory, directories, files in os.walk(tree):
        for name in (*directories, *files):
            path = Path(directory, name)
            for part in way(path) if path.is_symlink() else [path]:
                if part not in seen and not part.is_relative_to("/proc") and _changeable(part):
                    yield part
                seen.add(part)


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


def _is_of_root(path: Path) -> bool:
    """A user may have an engine too, with no more rights than theirs."""
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
