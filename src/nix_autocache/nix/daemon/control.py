"""The machine's nix-daemon: look at it, start it, and restart it to make it read nix.conf."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from ...errors import RunnerError
from ...system import probe, process
from ...system.dataclass import dataclass
from .. import worker_protocol as protocol
from ..store import Nix
from . import launchd, systemd
from .supervisor import SOCKET, Supervisor

_FIRST_WORD: Final = 2.0  # seconds for a daemon to greet
_REFUSAL: Final = 1.0  # seconds that a refusal must last
_PATIENCE: Final = 10.0  # seconds for a daemon to end, and to answer again


@dataclass(frozen=True)
class Process:
    """A running nix-daemon that no service manager started."""

    pid: int
    argv: tuple[str, ...]
    environ: dict[str, str]


State = Literal["answers", "silent", "closed", "refused", "none"]


def look() -> State:
    """The state of its socket. `silent`: nobody listens; `closed`: this user may not connect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(SOCKET))
        except (FileNotFoundError, NotADirectoryError):
            return "none"
        except PermissionError:
            return "closed"
        except OSError:
            return "silent"
        return "answers"


def serves() -> bool:
    """False if the daemon refuses this user because of allowed-users. True if it answers, or is too slow to tell.

    The daemon closes a refused connection without a word, and Nix's own error does not say why. A daemon that just
    started and finds its database locked does the same, so we try several times.
    """
    return process.wait_until(_speaks, _REFUSAL, poll=_REFUSAL / 4)


def _speaks() -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_FIRST_WORD)
        try:
            connection.connect(str(SOCKET))
            connection.sendall(struct.pack("<Q", protocol.CLIENT_MAGIC))
            return bool(connection.recv(8))
        except TimeoutError:
            return True
        except OSError:
            return False


def is_outside() -> bool:
    """True if the daemon runs outside this container, which got only its socket.

    Its process number is unknown here or, if process numbers are shared, it has another /etc/nix.
    """
    if sys.platform != "linux":
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, suppress(OSError):
        connection.connect(str(SOCKET))
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if pid == 0:
            return True
        theirs, ours = os.stat(f"/proc/{pid}/root/etc/nix"), os.stat("/etc/nix")
        return not os.path.samestat(theirs, ours)
    return False


def answers() -> bool:
    return look() == "answers"


def make_ready(nix: Nix, state: Path, environ: Mapping[str, str], *, changed: bool) -> None:
    """Make sure that a daemon runs with the present nix.conf. `state` is for the log of our own supervisor.

    Raises RunnerError.
    """
    if answers():
        if changed:
            restart(state)
        return
    if sys.platform == "darwin":
        launchd.restart()
    elif probe.systemd() and systemd.known():
        systemd.start()
    else:
        Supervisor(state).start(nix.program("nix-daemon"), environ)
    _wait_until_it_answers()


def restart(state: Path) -> None:
    """Restart the daemon through its service manager, or else with its own command. Running builds go on.

    Raises RunnerError if there is no daemon, or it does not answer again.
    """
    if sys.platform == "darwin":
        launchd.restart()
    elif Supervisor(state).pid():
        Supervisor(state).restart()
    elif probe.systemd() and systemd.active():
        systemd.restart()
    else:
        _restart_process(_find())
    _wait_until_it_answers()


def _find() -> Process:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (found := _as_daemon(entry)):
            return found
    raise RunnerError(
        "the nix-daemon answers, but is not among the processes here; restart it so that it reads nix.conf"
    )


def _as_daemon(entry: Path) -> Process | None:
    """The process if it is the daemon itself, not a child for one connection: a child's title ends with a number."""
    try:
        argv = tuple(entry.joinpath("cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0"))
        program = Path(argv[0]).name
        if program != "nix-daemon" and not (program == "nix" and "daemon" in argv[1:]):
            return None
        if argv[-1].isdecimal() or _parent_is_daemon(entry):
            return None
        raw = entry.joinpath("environ").read_bytes().decode(errors="surrogateescape")
    except OSError:
        return None
    environ = dict(item.split("=", 1) for item in raw.split("\0") if "=" in item)
    return Process(int(entry.name), argv, environ)


def _parent_is_daemon(entry: Path) -> bool:
    parent = entry.joinpath("stat").read_text().rpartition(")")[2].split()[1]
    try:
        return Path("/proc", parent, "comm").read_text().strip() == "nix-daemon"
    except OSError:  # the parent is outside this container
        return False


def _restart_process(daemon: Process) -> None:
    program = os.readlink(f"/proc/{daemon.pid}/exe")
    os.kill(daemon.pid, signal.SIGTERM)
    if not process.wait_until(lambda: not _runs(daemon.pid), _PATIENCE):
        raise RunnerError(f"the nix-daemon (process {daemon.pid}) does not end; restart it, then try again")
    process.start(daemon.argv, executable=program, environ=daemon.environ, session=True)


def _runs(pid: int) -> bool:
    """False for a zombie: in a container, there may be nobody to reap it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_until_it_answers() -> None:
    if not process.wait_until(answers, _PATIENCE):
        raise RunnerError("the nix-daemon does not answer after its restart; look into its log")
