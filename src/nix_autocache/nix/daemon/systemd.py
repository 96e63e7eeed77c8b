"""The nix-daemon as a systemd service, on a machine where we installed Nix.

With the socket unit, clients wait while the daemon is restarted instead of being refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ...errors import RunnerError
from ...system.files import make_directory, write_atomically
from ...system.process import Finished, run

SERVICE: Final = "nix-daemon.service"
_SOCKET: Final = "nix-daemon.socket"
_DIRECTORY: Final = Path("/etc/systemd/system")
FILES: Final = (_DIRECTORY / SERVICE, _DIRECTORY / _SOCKET)

_SERVICE_TEXT: Final = """\
# written by nix-autocache; `nix-autocache undo` removes it
[Unit]
Description=Nix Daemon
Documentation=man:nix-daemon https://nix.dev/manual
RequiresMountsFor=/nix/store /nix/var

[Service]
ExecStart=@{program} nix-daemon --daemon
EnvironmentFile=-{environment}
KillMode=process
LimitNOFILE=1048576
TasksMax=1048576

[Install]
WantedBy=multi-user.target
"""
_SOCKET_TEXT: Final = """\
# written by nix-autocache; `nix-autocache undo` removes it
[Unit]
Description=Nix Daemon Socket
RequiresMountsFor=/nix/store

[Socket]
ListenStream=/nix/var/nix/daemon-socket/socket

[Install]
WantedBy=sockets.target
"""


def write(program: str, environment: Path) -> None:
    """Write the units. `environment` is a file with variables for the daemon. Raises RunnerError."""
    make_directory(_DIRECTORY, 0o755)
    texts = (_SERVICE_TEXT.format(program=program, environment=environment), _SOCKET_TEXT)
    for path, text in zip(FILES, texts, strict=True):
        write_atomically(path, text, 0o644)
    control("daemon-reload")
    control("enable", "--quiet", _SOCKET)


def remove() -> None:
    """Stop the daemon and remove the units."""
    if not any(path.exists() for path in FILES):
        return
    _try("disable", "--now", "--quiet", _SOCKET, SERVICE)
    for path in FILES:
        path.unlink(missing_ok=True)
    _try("daemon-reload")
    _try("reset-failed", "--quiet", _SOCKET, SERVICE)


def active() -> bool:
    """True if systemd runs the daemon, or starts it at the first connection."""
    return any(_try("--quiet", "is-active", unit).status == 0 for unit in (SERVICE, _SOCKET))


def known() -> bool:
    """True if systemd has a unit for the daemon, ours or the distribution's."""
    return _try("--quiet", "cat", SERVICE).status == 0


def start() -> None:
    """Start the daemon, at the first connection if there is a socket unit. Raises RunnerError."""
    control("start", _SOCKET if _try("--quiet", "cat", _SOCKET).status == 0 else SERVICE)


def restart() -> None:
    """Raises RunnerError."""
    control("restart", SERVICE)


def control(*words: str) -> None:
    """Run systemctl. Raises RunnerError with its last line."""
    done = _try(*words)
    if done.status:
        raise RunnerError(f"systemctl {' '.join(words)}: {done.reason}")


def _try(*words: str) -> Finished:
    return run(["systemctl", *words])


def environment_text(environ: Mapping[str, str]) -> str:
    """The variables in the format of an EnvironmentFile."""
    return "".join(f'{name}="{_escaped(value)}"\n' for name, value in environ.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "")
