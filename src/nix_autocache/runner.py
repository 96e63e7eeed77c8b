"""What this machine allows, looked at once, and the mode that follows from it.

`observe` looks and changes nothing; `decide` picks the first row of `ROWS` that fits what was seen. The row that
was chosen is printed, with the observations that decided it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from .errors import RunnerError
from .nix import service
from .nix.store import Nix
from .settings import ModeInput

_STORE: Final = Path("/nix/store")
_PROFILES: Final = ("/nix/var/nix/profiles/default/bin", "/run/current-system/sw/bin")


class Mode(Enum):
    EXISTING_DAEMON = "existing-daemon"
    EXISTING_SINGLE_USER = "existing-single-user"
    SINGLE_USER = "single-user"


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What was seen. `nix` is the directory of Nix's programs, if any were found."""

    root: bool
    nix: Path | None
    daemon: bool
    store_writable: bool
    nix_can_be_made: bool
    ours: bool  # this Nix is one that we installed earlier

    def __str__(self) -> str:
        seen = [
            "root" if self.root else "not root",
            f"Nix in {self.nix}" if self.nix else "no Nix",
            "a daemon answers" if self.daemon else "no daemon",
        ]
        if self.nix:
            seen.append("store writable" if self.store_writable else "store not writable")
        else:
            seen.append("/nix can be made ours" if self.nix_can_be_made else "/nix cannot be made ours")
        return ", ".join(seen)


@dataclass(frozen=True)
class Row:
    """A row of the mode table: what must have been seen, and the mode that it leads to."""

    found: str
    fits: Callable[[Observations], bool]
    mode: Mode


ROWS: Final = (
    Row("Nix with a daemon; root", lambda o: bool(o.nix) and o.daemon and o.root, Mode.EXISTING_DAEMON),
    Row(
        "Nix without a daemon, store writable",
        lambda o: bool(o.nix) and not o.daemon and o.store_writable and not o.ours,
        Mode.EXISTING_SINGLE_USER,
    ),
    Row("no Nix but ours; /nix is or can be made ours", lambda o: o.nix_can_be_made, Mode.SINGLE_USER),
)

_WANTED: Final[Mapping[ModeInput, frozenset[Mode]]] = {
    "auto": frozenset(Mode),
    "existing": frozenset({Mode.EXISTING_DAEMON, Mode.EXISTING_SINGLE_USER}),
    "single-user": frozenset({Mode.SINGLE_USER, Mode.EXISTING_SINGLE_USER}),
    "multi-user": frozenset({Mode.EXISTING_DAEMON}),
}


def observe(environ: Mapping[str, str], *, ours: bool) -> Observations:
    """Look at this machine as the user that runs this. Changes nothing."""
    nix = find_nix(environ)
    return Observations(
        root=os.geteuid() == 0,
        nix=nix.bin if nix else None,
        daemon=service.answers(),
        store_writable=_writable(_STORE) or (not _STORE.exists() and _can_be_made(Path("/nix"))),
        nix_can_be_made=_can_be_made(Path("/nix")),
        ours=ours,
    )


def decide(seen: Observations, wanted: ModeInput) -> Row:
    """The row that fits. Raises RunnerError, saying what is missing, where none does or it was not what is wanted."""
    row = next((row for row in ROWS if row.fits(seen)), None)
    if row is None:
        known = "; ".join(row.found for row in ROWS)
        raise RunnerError(f"this machine has: {seen}; needed is one of: {known}; {_ADVICE}")
    if row.mode not in _WANTED[wanted]:
        raise RunnerError(f"mode: {wanted} was asked for, but this machine has: {row.found} ({seen})")
    return row


_ADVICE: Final = "run the job as root, or let its user own /nix (install -d -o USER /nix)"


def find_nix(environ: Mapping[str, str], *, profiles: bool = True) -> Nix | None:
    """The Nix on PATH or, if asked, in the usual profiles."""
    further = (*_PROFILES, *_user_profiles(environ)) if profiles else ()
    places = os.pathsep.join((environ.get("PATH", os.defpath), *further))
    found = shutil.which("nix-store", path=places)
    return Nix(Path(found).parent) if found else None


def _user_profiles(environ: Mapping[str, str]) -> list[str]:
    home = environ.get("HOME")
    return [f"{home}/.nix-profile/bin", f"{home}/.local/state/nix/profile/bin"] if home else []


def _writable(path: Path) -> bool:
    return path.is_dir() and os.access(path, os.W_OK)


def _can_be_made(path: Path) -> bool:
    return _writable(path) if path.exists() else os.access(path.parent, os.W_OK)
