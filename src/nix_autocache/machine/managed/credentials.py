"""The uploader's secrets, each in a file that only its user can read, where systemd does not hand them out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ...system.files import make_directory, set_mode, write_atomically
from ...system.trees import remove_tree
from .. import uploader_user
from ..paths import Paths
from . import configuration

CREDENTIALS: Final = Path("/run/nix-autocache/credentials")  # in memory, as all of /run is


def hand_out(paths: Paths) -> None:
    """Replace the files by those that the configuration names now. Raises Error and OSError."""
    secrets, owner = configuration.load().secrets, uploader_user.owner(paths)
    remove_tree(CREDENTIALS)
    make_directory(CREDENTIALS, 0o700)
    for name, path in secrets.items():
        write_atomically(CREDENTIALS / name, path.read_bytes(), 0o400, owner)
    set_mode(CREDENTIALS, 0o500, owner)
