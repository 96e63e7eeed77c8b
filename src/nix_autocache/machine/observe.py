"""What this machine has and allows: `observe` looks once, changes nothing, and returns `Facts`.

`modes.decide` chooses the mode from them. They are printed with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..nix.conf import MACHINE
from ..nix.find import find_nix
from ..nix.trusted_user import is_trusted
from ..system import probe, users
from ..system.dataclass import asdict, dataclass
from . import managed_machine, paths
from .install_record import InstallRecord, Kind

if TYPE_CHECKING:
    from ..nix.daemon import control

_ROOT: Final = Path("/nix")
_STORE: Final = _ROOT / "store"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """`nix` is the directory of Nix's programs, if it has one. `namespaces` is None where no Nix is to be installed,
    `trusted` False where no daemon answers. `ours` is a Nix that we installed earlier. `provisioned` is True where a
    managed machine's uploader answers, `daemon_outside` where the daemon is that of the machine around this container,
    which sees no file of ours."""

    system: str
    root: bool
    sudo: bool
    systemd: bool
    namespaces: bool | None
    nix: Path | None
    daemon: control.State
    trusted: bool
    configuration_fixed: bool
    provisioned: bool
    build_users: int
    users_can_be_made: bool
    store_writable: bool
    nix_can_be_made: bool
    ours: Kind | None
    daemon_outside: bool = False

    @property
    def admin(self) -> bool:
        return self.root or self.sudo

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "nix": str(self.nix) if self.nix else None}

    def __str__(self) -> str:
        seen = [
            "root" if self.root else "not root, but sudo" if self.sudo else "not root, no sudo",
            "systemd" if self.systemd else "no systemd",
            f"Nix in {self.nix}" if self.nix else "no Nix",
            _DAEMON[self.daemon] + (" outside of this container" if self.daemon_outside else ""),
        ]
        if self.namespaces is not None:
            seen.append("namespaces" if self.namespaces else "no namespaces")
        if self.nix:
            seen.append("store writable" if self.store_writable else "store not writable")
            seen += ["user trusted" if self.trusted else "user not trusted"] if self.daemon == "answers" else []
            seen += [f"{MACHINE.directory} cannot be changed"] if self.configuration_fixed else []
        else:
            seen.append("/nix can be made ours" if self.nix_can_be_made else "/nix cannot be made ours")
        seen += [f"{self.ours} Nix of an earlier set-up"] if self.ours else []
        seen += ["its uploader answers"] if self.provisioned else []
        return ", ".join(seen)


_DAEMON: Final[Mapping[control.State, str]] = {
    "answers": "a daemon answers",
    "silent": "a daemon's socket, but nobody answers",
    "closed": "a daemon's socket that this user may not connect to",
    "refused": "a daemon that does not serve this user",
    "none": "no daemon",
}


def observe(environ: Mapping[str, str]) -> Facts:
    """Look at this machine, as the user that runs this. Changes nothing."""
    from ..nix.daemon import control  # here, since other steps must start fast

    root = os.geteuid() == 0
    sudo = not root and probe.sudo()
    ours, nix, daemon = _ours(environ), find_nix(environ), control.look()
    outside = daemon == "answers" and control.is_outside()
    if daemon == "answers" and not control.serves():
        daemon = "refused"
    return Facts(
        system=os.uname().sysname,
        root=root,
        sudo=sudo,
        systemd=probe.systemd(),
        namespaces=_namespaces(environ, sudo=sudo) if ours or not nix else None,
        nix=nix.bin if nix else None,
        daemon=daemon,
        trusted=bool(nix) and daemon == "answers" and ((root and not outside) or is_trusted(nix)),
        daemon_outside=outside,
        configuration_fixed=MACHINE.is_fixed,
        provisioned=bool(managed_machine.status(paths.machine(environ))),
        build_users=len(users.members()),
        users_can_be_made=users.can_be_made(),
        store_writable=_writable(_STORE) or (not _STORE.exists() and _can_be_made(_ROOT)),
        nix_can_be_made=_can_be_made(_ROOT) and (not _STORE.exists() or _writable(_STORE)),
        ours=ours,
    )


def _ours(environ: Mapping[str, str]) -> Kind | None:
    for each in (paths.machine(environ), paths.users(environ)):
        if installed := InstallRecord.load(each.installed):
            return installed.kind
    return None


def _namespaces(environ: Mapping[str, str], *, sudo: bool) -> bool:
    if not sudo:
        return probe.namespaces()
    from .root import call

    return bool(call("namespaces", {}, environ))


def _writable(path: Path) -> bool:
    return path.is_dir() and os.access(path, os.W_OK)


def _can_be_made(path: Path) -> bool:
    return _writable(path) if path.exists() else os.access(path.parent, os.W_OK)
