"""Where Nix is on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .store import Nix

_PROFILES: Final = ("/nix/var/nix/profiles/default/bin", "/run/current-system/sw/bin")


def find_nix(environ: Mapping[str, str], *, profiles: bool = True) -> Nix | None:
    """The Nix on PATH or, if asked, in the usual profiles."""
    where = [directory for directory in environ.get("PATH", os.defpath).split(os.pathsep) if directory]
    for directory in [*where, *_PROFILES, *_user_profiles(environ)] if profiles else where:
        program = Path(directory, "nix-store")
        if program.is_file() and os.access(program, os.X_OK):
            return Nix(program.parent)
    return None


def _user_profiles(environ: Mapping[str, str]) -> list[str]:
    home = environ.get("HOME")
    return [f"{home}/.nix-profile/bin", f"{home}/.local/state/nix/profile/bin"] if home else []
