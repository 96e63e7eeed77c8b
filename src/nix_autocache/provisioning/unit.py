"""The uploader of a provisioned machine as a unit of systemd: a user without rights, that sees a read-only machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from .. import apart
from ..nix import units
from ..system import watchdog
from ..system.files import write_atomically

NAME: Final = "nix-autocache.service"
_FILE: Final = Path("/etc/systemd/system", NAME)
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
    command: Iterable[str], environ: Mapping[str, str], credentials: Mapping[str, Path], writable: Iterable[Path]
) -> None:
    """Write the unit and start it, or start it anew. Raises RunnerError."""
    write_atomically(
        _FILE,
        _TEXT.format(
            command=" ".join(command),
            user=apart.USER,
            watchdog=watchdog.INTERVAL,
            environment=_lines("Environment", (f'"{name}={value}"' for name, value in environ.items())),
            credentials=_lines("LoadCredential", (f"{name}:{path}" for name, path in credentials.items())),
            writable=_lines("ReadWritePaths", (f'"{path}"' for path in writable)),  # a name may have a blank in it
        ),
        0o644,
    )
    units.control("daemon-reload")
    units.control("enable", "--quiet", NAME)
    units.control("restart", NAME)


def remove() -> None:
    """Stop it and remove the unit."""
    if _FILE.exists():
        units.control("disable", "--now", "--quiet", NAME)
        _FILE.unlink()
        units.control("daemon-reload")


def _lines(name: str, values: Iterable[str]) -> str:
    """A `%` begins a specifier of systemd's."""
    return "\n".join(f"{name}={value.replace('%', '%%')}" for value in values)
