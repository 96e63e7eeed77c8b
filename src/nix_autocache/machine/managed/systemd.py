"""The uploader of a managed machine as a systemd unit: its user has no rights and sees a read-only machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ...nix.daemon import systemd
from ...system import process, watchdog
from ...system.files import write_atomically
from ...uploader.read_proxy.address import HOST, Address
from .. import uploader_user

NAME: Final = "nix-autocache.service"
_FILE: Final = Path("/etc/systemd/system", NAME)
_SOCKET: Final = "nix-autocache.socket"
_SOCKET_FILE: Final = Path("/etc/systemd/system", _SOCKET)
_SOCKET_TEXT: Final = """\
# written by `nix-autocache provision`; `nix-autocache undo` removes it
[Unit]
Description=where Nix reads the cache of this machine, see nix-autocache.service

[Socket]
ListenStream={host}:{port}
Backlog=512

[Install]
WantedBy=sockets.target
"""
_TEXT: Final = """\
# written by `nix-autocache provision`; `nix-autocache undo` removes it
[Unit]
Description=nix-autocache, which uploads what this machine builds
After=network-online.target nix-daemon.socket nix-daemon.service
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
WatchdogSec={watchdog:g}
WatchdogSignal=SIGKILL
User={user}
Group={user}
UMask=0022
WorkingDirectory=/
{environment}
{credentials}
LimitCORE=0
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
{writable}
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @obsolete
SystemCallErrorNumber=EPERM
MemoryDenyWriteExecute=yes
KeyringMode=private
PrivateIPC=yes
ProcSubset=pid
RemoveIPC=yes

[Install]
WantedBy=multi-user.target
"""


def start(
    command: Iterable[str],
    environ: Mapping[str, str],
    credentials: Mapping[str, Path],
    writable: Iterable[Path],
    reader: Address | None,
) -> None:
    """Write the units and start or restart them. Raises RunnerError.

    systemd holds the reader's socket, if there is one, also while the service restarts.
    """
    write_atomically(
        _FILE,
        _TEXT.format(
            command=" ".join(command),
            user=uploader_user.USER,
            watchdog=watchdog.INTERVAL,
            environment=_lines("Environment", (f'"{name}={value}"' for name, value in environ.items())),
            credentials=_lines("LoadCredential", (f"{name}:{path}" for name, path in credentials.items())),
            writable=_lines("ReadWritePaths", map(_quoted, writable)),
        ),
        0o644,
    )
    _listen(reader)
    systemd.control("enable", "--quiet", NAME)
    systemd.control("restart", NAME)


def _listen(reader: Address | None) -> None:
    text = _SOCKET_TEXT.format(host=HOST, port=reader.port) if reader else ""
    same = _SOCKET_FILE.exists() and _SOCKET_FILE.read_text() == text
    if not same:
        _forget_socket()
        if text:
            write_atomically(_SOCKET_FILE, text, 0o644)
    systemd.control("daemon-reload")
    if text and not same:
        systemd.control("stop", NAME)  # systemd does not start the socket of a running service
        systemd.control("enable", "--now", "--quiet", _SOCKET)


def _forget_socket() -> None:
    if _SOCKET_FILE.exists():
        systemd.control("disable", "--now", "--quiet", _SOCKET)
        _SOCKET_FILE.unlink()


def is_active() -> bool:
    return _FILE.exists() and process.run(["systemctl", "is-active", "--quiet", NAME]).status == 0


def remove() -> None:
    """Stop the uploader and remove its units."""
    _forget_socket()
    if _FILE.exists():
        systemd.control("disable", "--now", "--quiet", NAME)
        _FILE.unlink()
        systemd.control("daemon-reload")


def _quoted(path: Path) -> str:
    """Quote it: for systemd, a space ends a path."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _lines(name: str, values: Iterable[str]) -> str:
    """For systemd, `%` begins a specifier."""
    return "\n".join(f"{name}={value.replace('%', '%%')}" for value in values)
