"""A home directory for a user without one, such as a user without an account or a service's user.

Nix uses HOME if it belongs to the user or does not exist, or else the home of the account, or else it fails. Our own
files for a user are there, too, so it must be writable.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from . import files


def of_account() -> str:
    """The home in this user's account; empty without an account."""
    with suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_dir
    return ""


def stand_in(environ: Mapping[str, str]) -> Path | None:
    """The directory to set HOME to; None if HOME is usable, or if none can be made."""
    if os.geteuid() == 0:
        return None
    for home in (environ.get("HOME", ""), of_account()):
        if os.path.isabs(home) and _is_usable(Path(home)):
            return None if home == environ.get("HOME") else Path(home)
    with suppress(OSError):
        return _private()
    return None


def _is_usable(home: Path) -> bool:
    with suppress(OSError):
        if home.exists():
            return home.stat().st_uid == os.geteuid() and os.access(home, os.W_OK | os.X_OK)
        above = next(parent for parent in home.parents if parent.exists())
        return os.access(above, os.W_OK | os.X_OK)
    return False


def _private() -> Path | None:
    """A directory that later steps find again; None if another user has taken its name. Raises OSError."""
    import tempfile  # most users have a home

    home = Path(os.path.realpath(tempfile.gettempdir()), f"nix-autocache-{os.geteuid()}", "home")
    files.make_directory(home.parent, 0o700)
    files.make_directory(home, 0o700)
    return home if files.is_only_of(home, {os.geteuid()}) else None
