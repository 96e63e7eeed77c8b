"""What this machine allows, looked at once, and the mode that follows from it.

`observe` looks and changes nothing; `decide` picks the first row of `ROWS` that fits what was seen. The row that
was chosen is printed, with the observations that decided it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import places, provisioned
from .errors import RunnerError
from .installed import Installed, Kind
from .nix.conf import MACHINE
from .nix.find import find_nix
from .nix.trusted_user import is_trusted
from .settings import ModeInput
from .system import probe, users

if TYPE_CHECKING:
    from .nix.daemon import control


_ROOT: Final = Path("/nix")
_STORE: Final = _ROOT / "store"


class Mode(Enum):
    MANAGED = "managed"
    EXISTING_DAEMON = "existing-daemon"
    EXISTING_TRUSTED = "existing-trusted-user"
    EXISTING_SCAN = "existing-store-scan"
    EXISTING_SINGLE_USER = "existing-single-user"
    MULTI_USER = "multi-user"
    SINGLE_USER = "single-user"

    @property
    def installs(self) -> Kind | None:
        """How this mode installs Nix; None where Nix is there."""
        return {Mode.MULTI_USER: "multi-user", Mode.SINGLE_USER: "single-user"}.get(self)  # type: ignore[return-value]

    @property
    def daemon(self) -> bool:
        """Whether we see to the daemon of this machine."""
        return self in {Mode.MULTI_USER, Mode.EXISTING_DAEMON}


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What was seen. `nix` is the directory of Nix's programs, if any were found; `namespaces` was tried where
    Nix is to be installed; `trusted` is asked where a daemon answers; `ours` is a Nix that we installed earlier;
    `provisioned` where the uploader of a machine that root provisioned answers; `daemon_outside` where the daemon is
    that of the machine around this container, which sees no file of ours."""

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
        return {**dataclasses.asdict(self), "nix": str(self.nix) if self.nix else None}

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


@dataclass(frozen=True)
class Row:
    """A row of the mode table: what must have been seen, and the mode that it leads to."""

    found: str
    fits: Callable[[Observations], bool]
    mode: Mode
    no_hook: str = ""
    """Why no hook can be set there."""


def _linux(o: Observations) -> bool:
    return o.system == "Linux"


ROWS: Final = (
    Row(
        "a machine provisioned with nix-autocache already",
        lambda o: o.provisioned and o.daemon == "answers",
        Mode.MANAGED,
    ),
    Row(
        "no Nix but ours; root or sudo; users can be made",
        lambda o: (not o.nix or o.ours == "multi-user") and o.admin and o.users_can_be_made and _linux(o),
        Mode.MULTI_USER,
    ),
    Row(
        "no Nix but ours; /nix is or can be made ours",
        lambda o: (not o.nix or o.ours == "single-user") and o.nix_can_be_made and _linux(o),
        Mode.SINGLE_USER,
    ),
    Row(
        "Nix with a daemon that runs outside of this container",
        lambda o: bool(o.nix) and o.daemon == "answers" and o.daemon_outside,
        Mode.EXISTING_SCAN,
        "the nix-daemon runs outside of this container, where it sees no hook of ours",
    ),
    Row(
        "Nix with a daemon; root or sudo",
        lambda o: bool(o.nix) and o.daemon != "none" and o.admin and not o.configuration_fixed,
        Mode.EXISTING_DAEMON,
    ),
    Row(
        "Nix with a daemon; user is trusted",
        lambda o: bool(o.nix) and o.daemon == "answers" and o.trusted,
        Mode.EXISTING_TRUSTED,
    ),
    Row(
        "Nix with a daemon; user is not trusted",
        lambda o: bool(o.nix) and o.daemon == "answers",
        Mode.EXISTING_SCAN,
        "the daemon does not let this user set a hook",
    ),
    Row(
        "Nix without a daemon, store writable",
        lambda o: bool(o.nix) and o.store_writable,
        Mode.EXISTING_SINGLE_USER,
    ),
    Row(
        "Nix without a daemon, store not writable; root or sudo",
        lambda o: bool(o.nix) and o.admin and not o.configuration_fixed and _linux(o),
        Mode.EXISTING_DAEMON,
    ),
)

_EXISTING: Final = {mode for mode in Mode if not mode.installs}
_WANTED: Final[Mapping[ModeInput, set[Mode]]] = {
    "auto": set(Mode),
    "existing": _EXISTING,
    "single-user": {Mode.SINGLE_USER, Mode.EXISTING_SINGLE_USER},
    "multi-user": {Mode.MULTI_USER, Mode.EXISTING_DAEMON},
}


def observe(environ: Mapping[str, str]) -> Observations:
    """Look at this machine as the user that runs this. Changes nothing."""
    from .nix.daemon import control  # here, since steps that need not look are to start fast

    root = os.geteuid() == 0
    sudo = not root and probe.sudo()
    ours, nix, daemon = _ours(environ), find_nix(environ), control.look()
    outside = daemon == "answers" and control.is_outside()
    if daemon == "answers" and not control.serves():
        daemon = "refused"
    return Observations(
        system=os.uname().sysname,
        root=root,
        sudo=sudo,
        systemd=probe.systemd(),
        namespaces=_namespaces(environ, sudo=sudo) if ours or not nix else None,
        nix=nix.bin if nix else None,
        daemon=daemon,
        trusted=bool(nix) and daemon == "answers" and ((root and not outside) or is_trusted(nix)),
        daemon_outside=outside,
        configuration_fixed=MACHINE.fixed,
        provisioned=bool(provisioned.answer(places.machine(environ))),
        build_users=len(users.members()),
        users_can_be_made=users.can_be_made(),
        store_writable=_writable(_STORE) or (not _STORE.exists() and _can_be_made(_ROOT)),
        nix_can_be_made=_can_be_made(_ROOT) and (not _STORE.exists() or _writable(_STORE)),
        ours=ours,
    )


def decide(seen: Observations, wanted: ModeInput) -> Row:
    """The row that fits. Raises RunnerError, saying what is missing, where none does or it was not what is wanted."""
    fitting = [row for row in ROWS if row.fits(seen)]
    for row in fitting:
        if row.mode in _WANTED[wanted]:
            return row
    if fitting:
        raise RunnerError(f"mode: {wanted} was asked for, but this machine has: {fitting[0].found} ({seen})")
    raise RunnerError(f"this machine cannot run Nix as it is: {seen}; {_advice(seen)}")


def _advice(seen: Observations) -> str:
    """What to change, for who cannot go on."""
    if seen.system != "Linux":
        return "Nix is installed here on Linux only: put cachix/install-nix-action before this step"
    if seen.nix and seen.daemon == "refused":
        return "put this user into the daemon's allowed-users, in its nix.conf"
    if seen.nix and seen.daemon == "closed":
        from .nix.daemon.supervisor import SOCKET

        return f"let this user connect to {SOCKET}: put it into the group that owns its directory"
    if seen.nix:
        return "start the nix-daemon before this step, or give this user sudo without a password"
    return (
        "either let the job run as root or give its user sudo without a password (then Nix is installed for all), "
        "or let its user own /nix, as root once: install -d -o USER /nix"
    )


def _ours(environ: Mapping[str, str]) -> Kind | None:
    for where in (places.machine(environ), places.users(environ)):
        if installed := Installed.load(where.installed):
            return installed.kind
    return None


def _namespaces(environ: Mapping[str, str], *, sudo: bool) -> bool:
    if not sudo:
        return probe.namespaces()
    from . import privileged

    return bool(privileged.call("namespaces", {}, environ))


def _writable(path: Path) -> bool:
    return path.is_dir() and os.access(path, os.W_OK)


def _can_be_made(path: Path) -> bool:
    return _writable(path) if path.exists() else os.access(path.parent, os.W_OK)
