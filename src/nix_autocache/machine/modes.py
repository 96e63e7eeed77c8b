"""The mode table: the first row that fits the facts decides how this machine is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final

from ..errors import RunnerError
from ..settings import ModeInput
from ..system.dataclass import dataclass
from .install_record import Kind

if TYPE_CHECKING:
    from .observe import Facts


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
        """How this mode installs Nix; None where it uses the Nix that is there."""
        return {Mode.MULTI_USER: "multi-user", Mode.SINGLE_USER: "single-user"}.get(self)  # type: ignore[return-value]

    @property
    def daemon(self) -> bool:
        """Whether we start, configure and restart this machine's daemon."""
        return self in {Mode.MULTI_USER, Mode.EXISTING_DAEMON}


@dataclass(frozen=True)
class ModeRule:
    """A row of the mode table: the facts that it needs, `found` in words, and its mode."""

    found: str
    fits: Callable[[Facts], bool]
    mode: Mode
    no_hook: str = ""
    """Why no hook can be set in this mode; empty if one can."""


def _linux(o: Facts) -> bool:
    return o.system == "Linux"


MODE_RULES: Final = (
    ModeRule(
        "a machine provisioned with nix-autocache already",
        lambda o: o.provisioned and o.daemon == "answers",
        Mode.MANAGED,
    ),
    ModeRule(
        "no Nix but ours; root or sudo; users can be made",
        lambda o: (not o.nix or o.ours == "multi-user") and o.admin and o.users_can_be_made and _linux(o),
        Mode.MULTI_USER,
    ),
    ModeRule(
        "no Nix but ours; /nix is or can be made ours",
        lambda o: (not o.nix or o.ours == "single-user") and o.nix_can_be_made and _linux(o),
        Mode.SINGLE_USER,
    ),
    ModeRule(
        "Nix with a daemon that runs outside of this container",
        lambda o: bool(o.nix) and o.daemon == "answers" and o.daemon_outside,
        Mode.EXISTING_SCAN,
        "the nix-daemon runs outside of this container, where it sees no hook of ours",
    ),
    ModeRule(
        "Nix with a daemon; root or sudo",
        lambda o: bool(o.nix) and o.daemon != "none" and o.admin and not o.configuration_fixed,
        Mode.EXISTING_DAEMON,
    ),
    ModeRule(
        "Nix with a daemon; user is trusted",
        lambda o: bool(o.nix) and o.daemon == "answers" and o.trusted,
        Mode.EXISTING_TRUSTED,
    ),
    ModeRule(
        "Nix with a daemon; user is not trusted",
        lambda o: bool(o.nix) and o.daemon == "answers",
        Mode.EXISTING_SCAN,
        "the daemon does not let this user set a hook",
    ),
    ModeRule(
        "Nix without a daemon, store writable",
        lambda o: bool(o.nix) and o.store_writable,
        Mode.EXISTING_SINGLE_USER,
    ),
    ModeRule(
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


def decide(seen: Facts, wanted: ModeInput) -> ModeRule:
    """The first row that fits and that `wanted` allows. Raises RunnerError, with what is missing, if there is none."""
    fitting = [row for row in MODE_RULES if row.fits(seen)]
    for row in fitting:
        if row.mode in _WANTED[wanted]:
            return row
    if fitting:
        raise RunnerError(f"mode: {wanted} was asked for, but this machine has: {fitting[0].found} ({seen})")
    raise RunnerError(f"this machine cannot run Nix as it is: {seen}; {_advice(seen)}")


def _advice(seen: Facts) -> str:
    """What the user can change."""
    if not seen.nix and seen.system != "Linux":
        return (
            "Nix is installed here on Linux only: put cachix/install-nix-action before this step, or install Nix on "
            "this machine once"
        )
    if seen.nix and seen.daemon == "refused":
        return "put this user into the daemon's allowed-users, in its nix.conf"
    if seen.nix and seen.daemon == "closed":
        from ..nix.daemon.supervisor import SOCKET

        return f"let this user connect to {SOCKET}: put it into the group that owns its directory"
    if seen.nix:
        return "start the nix-daemon before this step, or give this user sudo without a password"
    return (
        "either let the job run as root or give its user sudo without a password (then Nix is installed for all), "
        "or let its user own /nix, as root once: install -d -o USER /nix"
    )
