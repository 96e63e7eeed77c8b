"""Finds Nix on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..system.dataclass import replace
from .store import Nix

_PROFILES: Final = ("/nix/var/nix/profiles/default/bin", "/run/current-system/sw/bin")


def find_nix(environ: Mapping[str, str], *, profiles: bool = True) -> Nix | None:
    """The Nix on PATH or, with `profiles`, in the usual profiles."""
    where = [directory for directory in environ.get("PATH", os.defpath).split(os.pathsep) if directory]
    for directory in [*where, *_PROFILES, *_user_profiles(environ)] if profiles else where:
        program = Path(directory, "nix-store")
        if program.is_file() and os.access(program, os.X_OK):
            return Nix(program.parent)
    return None


def real(nix: Nix) -> Nix:
    """The same Nix with the real path of its programs, so that nobody can redirect a link on the way.

    A profile may link a `nix-store` whose real directory has no other programs. Then it is the profile's real path.
    """
    program = Path(os.path.realpath(nix.program("nix-store")))
    whole = all((program.parent / name).exists() for name in ("nix", "nix-daemon", "nix-build"))
    return replace(nix, bin=program.parent if whole else Path(os.path.realpath(nix.bin)))


def _user_profiles(environ: Mapping[str, str]) -> list[str]:
    home = environ.get("HOME")
    return [f"{home}/.nix-profile/bin", f"{home}/.local/state/nix/profile/bin"] if home else []
